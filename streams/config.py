"""The configuration: one TOML file, the environment and the command line, read once into one frozen object.

Every key stands once, in a dataclass below, with its default, its bounds and its description: `fiftytwo config show`
and the tests that hold the documentation complete read the same table. The command line wins over the environment,
which wins over the file. An unknown name is refused rather than ignored, because a misspelt key that is ignored is a
setting that silently does not hold.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, TypeVar, get_type_hints

from streams.config_delivery import Commits, Snapshots
from streams.config_rules import RULE_KEYS
from streams.config_values import ConfigError, Key, from_text, from_toml, key, nearest
from streams.core.rules import Rules

__all__ = [
    "Commits",
    "Config",
    "ConfigError",
    "Kafka",
    "Log",
    "Markets",
    "News",
    "Rules",
    "Setting",
    "Snapshots",
    "Web",
    "load",
    "settings",
]

ENVIRONMENT_PREFIX: Final = "FIFTYTWO_"
ENVIRONMENT_FILE: Final = "FIFTYTWO_CONFIG"

# Variables that carry our prefix and are not keys: the configuration file's path and the folder of compiled code.
_ENVIRONMENT_OTHERS: Final = frozenset({ENVIRONMENT_FILE, "FIFTYTWO_CACHE_DIR"})

# Kubernetes gives every pod the addresses of the services beside it: a service called `fiftytwo-web` sets FIFTYTWO_WEB_PORT=tcp://10.0.0.1:9464.
_SERVICE_LINK_NAME: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
_SERVICE_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://")

Section = TypeVar("Section")

_TOPIC_CHARACTERS: Final = r"[A-Za-z0-9._-]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Where Kafka is, how to get in, and how the topics are made."""

    bootstrap_servers: str = key(
        "127.0.0.1:9092",
        Key(
            "Brokers to connect to first, as host:port, several separated by commas.",
            pattern=r"[^\s:,]+:\d{1,5}(,[^\s:,]+:\d{1,5})*|\[[0-9a-fA-F:]+\]:\d{1,5}(,\[[0-9a-fA-F:]+\]:\d{1,5})*",
            grammar="host:port, several separated by commas without spaces",
        ),
    )
    application_id: str = key(
        "fiftytwo",
        Key(
            "Name of the consumer group, after the prefix, and part of every signal's `ce_source`. "
            "Workers that share both share the partitions.",
            pattern=rf"{_TOPIC_CHARACTERS}{{1,100}}",
            grammar="1 to 100 letters, digits, '.', '_' or '-'",
        ),
    )
    prefix: str = key(
        "",
        Key(
            "Put before every topic's name, for example `paper.`: "
            "several set-ups can share one Kafka, and a replay stays apart from what is live.",
            pattern=rf"{_TOPIC_CHARACTERS}{{0,100}}",
            grammar="at most 100 letters, digits, '.', '_' or '-'",
        ),
    )
    partitions: int = key(
        4,
        Key(
            "Partitions of every topic that is keyed by instrument. "
            "It cannot change once the topics hold records: keys would move.",
            minimum=1,
            maximum=10_000,
        ),
    )
    replication_factor: int = key(
        1,
        Key(
            "Copies of each partition when topics are created. Use 3 where there are three brokers.",
            minimum=1,
            maximum=100,
        ),
    )
    retention_days: int = key(
        7,
        Key(
            "Days that the broker keeps input records (ticks, articles) before it deletes them.",
            minimum=1,
            maximum=36_500,
        ),
    )
    security_protocol: str = key(
        "PLAINTEXT", Key("How to talk to the brokers.", choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"))
    )
    ssl_cafile: str = key(
        "", Key("Path of the file with the certificate authorities to trust (PEM). Empty: the system's own.", path=True)
    )
    ssl_certfile: str = key("", Key("Path of the client's certificate (PEM), for brokers that ask for one.", path=True))
    ssl_keyfile: str = key("", Key("Path of the client certificate's private key (PEM).", path=True))
    sasl_mechanism: str = key(
        "", Key("How to sign in under SASL.", choices=("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))
    )
    sasl_username: str = key("", Key("User name under SASL."))
    sasl_password: str = key(
        "",
        Key(
            "Password under SASL. Give it as an environment variable rather than in a file or on a command line.",
            secret=True,
        ),
    )
    group_instance_id: str = key(
        "",
        Key(
            "Static member id: a worker that comes back under the same one within the session time-out "
            "keeps its partitions. Empty: made of the machine's name and a number. "
            "`dynamic`: none, and its partitions move as soon as it stops.",
            pattern=rf"{_TOPIC_CHARACTERS}{{0,200}}",
            grammar="at most 200 letters, digits, '.', '_' or '-'",
        ),
    )
    fetch_bytes: int = key(
        4_194_304,
        Key(
            "Most bytes fetched from one partition at a time: the size of the batches the engine works on. "
            "With more than 16 partitions it is less, so that what is fetched stays below 512 MiB.",
            minimum=1_024,
            maximum=1 << 30,
        ),
    )
    fetch_wait_ms: int = key(
        50, Key("Longest wait of the broker for something to fetch, in milliseconds.", minimum=0, maximum=60_000)
    )
    record_bytes_max: int = key(
        1_048_576,
        Key(
            "Largest input record in bytes. "
            "Dead-letter topics take 64 KiB more, so that a record of full size still fits with its reason.",
            minimum=1_024,
            maximum=1 << 30,
        ),
    )
    delivery: str = key(
        "exactly_once",
        Key(
            "`exactly_once` commits outputs, state and positions in one transaction. "
            "`at_least_once` is for brokers without transactions: a crash may repeat outputs, with equal ids.",
            choices=("exactly_once", "at_least_once"),
        ),
    )

    @property
    def group(self) -> str:
        """Return the consumer group's name: workers of another prefix read other topics, so theirs is another group."""
        return f"{self.prefix}{self.application_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Markets:
    """Which markets' instruments are taken."""

    mics: tuple[str, ...] = key(
        ("XNYS", "XNAS", "XHKG"),
        Key(
            "Market identifier codes (ISO 10383) whose calendars are loaded. "
            "A record of any other market goes to the dead-letter topic.",
            pattern=r"[A-Z0-9]{4}",
            grammar="codes of four capital letters or digits, such as XNYS",
            minimum=1,
            maximum=100,
        ),
    )
    overrides: str = key(
        "",
        Key(
            "Path of a file (TOML) with your own corrections of the calendars: days without a session, early closes, "
            "late opens, extended hours. Empty: none.",
            path=True,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Which articles are joined with a signal, and for how long."""

    before_hours: int = key(
        72, Key("An article this many hours before the signal still explains it (inclusive).", minimum=0, maximum=720)
    )
    after_hours: int = key(
        24, Key("An article this many hours after the signal still explains it (inclusive).", minimum=0, maximum=720)
    )
    grace_minutes: int = key(
        10,
        Key(
            "Wait after the last hour for articles on their way before the join is final, in minutes.",
            minimum=0,
            maximum=1_440,
        ),
    )
    relevance_min: float = key(
        0.5, Key("Least relevance of an article for the instrument, 0 to 1, to be joined.", minimum=0.0, maximum=1.0)
    )
    articles_max: int = key(
        10, Key("Most articles on one enriched signal; the best scored stay.", minimum=1, maximum=100)
    )
    tags_max: int = key(20, Key("Most tags on one enriched signal; the best scored stay.", minimum=0, maximum=200))
    zones: Mapping[str, str] = key(
        {},
        Key(
            "What ambiguous zone abbreviations in plain-text articles mean: an IANA zone or an offset, "
            'for example `CST = "Asia/Shanghai"`.',
            zone=True,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Where metrics and health are served."""

    host: str = key(
        "127.0.0.1",
        Key(
            "Address to listen on. `0.0.0.0` lets other machines in: the pages have no password.",
            pattern=r"\S+",
            grammar="an address",
        ),
    )
    port: int = key(
        9464, Key("Port of /metrics, /health/live and /health/ready. 0 takes any free one.", minimum=0, maximum=65_535)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, and how."""

    level: str = key("info", Key("Least severity that is logged.", choices=("debug", "info", "warning", "error")))
    format: str = key("json", Key("One JSON object a line for machines, or text for people.", choices=("json", "text")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set.

    Attributes:
        sources: Where each key's value came from, by `section.key`; a key that is not in it has its default.
    """

    kafka: Kafka = field(default_factory=Kafka)
    commits: Commits = field(default_factory=Commits)
    snapshots: Snapshots = field(default_factory=Snapshots)
    markets: Markets = field(default_factory=Markets)
    rules: Rules = field(default_factory=Rules)
    news: News = field(default_factory=News)
    web: Web = field(default_factory=Web)
    log: Log = field(default_factory=Log)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


SECTIONS: Final[Mapping[str, type]] = {
    "kafka": Kafka,
    "commits": Commits,
    "snapshots": Snapshots,
    "markets": Markets,
    "rules": Rules,
    "news": News,
    "web": Web,
    "log": Log,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the configuration as its users see it."""

    section: str
    name: str
    kind: object
    default: object
    key: Key

    @property
    def path(self) -> str:
        """Return the key's name in the file and on the command line."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """Return the key's environment variable."""
        return f"{ENVIRONMENT_PREFIX}{self.section}_{self.name}".upper()


def settings() -> Iterator[Setting]:
    """Yield every key there is, section by section."""
    for section, kind in SECTIONS.items():
        defaults = kind()
        hints = get_type_hints(kind)
        for entry in fields(kind):
            described = RULE_KEYS[entry.name] if kind is Rules else entry.metadata["key"]
            yield Setting(section, entry.name, hints[entry.name], getattr(defaults, entry.name), described)


def load(path: Path | None, env: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> Config:
    """Read the configuration. The command line calls it once.

    Args:
        path: The TOML file; None takes the file that `FIFTYTWO_CONFIG` names, if any.
        env: The environment, usually `os.environ`.
        overrides: Values from the command line as text, by `section.key`.

    Raises:
        ConfigError: A name is unknown, a value has the wrong type or is out of range, or two values do not fit.
    """
    table = {setting.path: setting for setting in settings()}
    found: dict[str, object] = {}
    sources: dict[str, str] = {}
    if path is None and env.get(ENVIRONMENT_FILE):
        path = Path(env[ENVIRONMENT_FILE])
    given = [*_from_file(path, table)] if path is not None else []
    for setting, value, source in [*given, *_from_environment(env, table), *_from_overrides(overrides or {}, table)]:
        before = found.get(setting.path, setting.default)
        # Tables are merged, so that naming one threshold or zone keeps the others.
        found[setting.path] = (
            {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
        )
        sources[setting.path] = source
    config = Config(
        kafka=_build("kafka", Kafka, found, sources),
        commits=_build("commits", Commits, found, sources),
        snapshots=_build("snapshots", Snapshots, found, sources),
        markets=_build("markets", Markets, found, sources),
        rules=_build("rules", Rules, found, sources),
        news=_build("news", News, found, sources),
        web=_build("web", Web, found, sources),
        log=_build("log", Log, found, sources),
        sources=sources,
    )
    _check_together(config.kafka, sources)
    return config


def _from_file(path: Path, table: Mapping[str, Setting]) -> Iterator[tuple[Setting, object, str]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"expected a configuration file at {path}, found none: "
            f"check the path given with --config or {ENVIRONMENT_FILE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a readable TOML file in UTF-8 at {path}, found: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path}: expected TOML, found: {error}. Text values need quotes, sections stand in [brackets]."
        ) from None
    for section, entries in document.items():
        if section not in SECTIONS:
            raise ConfigError(f"{path}: unknown section [{section}]{_hint(section, SECTIONS)}")
        if not isinstance(entries, dict):
            raise ConfigError(
                f"{path}: expected [{section}] to be a section, found {entries!r}: "
                f"write [{section}] on a line of its own above its keys"
            )
        for name, value in entries.items():
            setting = _known(table, f"{section}.{name}", f"{path}: unknown key")
            yield setting, from_toml(setting.kind, setting.key, value, f"{path}: {setting.path}"), str(path)


def _from_environment(env: Mapping[str, str], table: Mapping[str, Setting]) -> Iterator[tuple[Setting, object, str]]:
    variables = {setting.variable: setting for setting in table.values()}
    for name in sorted(env):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _ENVIRONMENT_OTHERS:
            continue
        if _SERVICE_LINK_NAME.search(name) or (name.endswith("_PORT") and _SERVICE_LINK_VALUE.match(env[name])):
            continue
        setting = variables.get(name)
        if setting is None:
            raise ConfigError(f"unknown environment variable {name}{_hint(name, variables)}")
        yield (
            setting,
            from_text(setting.kind, setting.key, env[name], f"environment variable {name}"),
            f"environment variable {name}",
        )


def _from_overrides(
    overrides: Mapping[str, str], table: Mapping[str, Setting]
) -> Iterator[tuple[Setting, object, str]]:
    for name, text in overrides.items():
        path, entry = name, ""
        if name not in table and name.count(".") == 2:
            path, _, entry = name.rpartition(".")
        setting = _known(table, path, "command line: unknown key")
        if entry:
            text = f"{entry}={text}"
        yield setting, from_text(setting.kind, setting.key, text, f"command line: {path}"), "command line"


def _hint(name: str, known: Iterable[str]) -> str:
    return nearest(name, known) or ": `fiftytwo config show` prints every key there is"


def _known(table: Mapping[str, Setting], path: str, complaint: str) -> Setting:
    try:
        return table[path]
    except KeyError:
        raise ConfigError(f"{complaint} {path}{_hint(path, table)}") from None


def _build(section: str, kind: type[Section], found: Mapping[str, object], sources: Mapping[str, str]) -> Section:
    arguments = {path.partition(".")[2]: value for path, value in found.items() if path.startswith(f"{section}.")}
    try:
        return kind(**arguments)
    except ValueError as error:
        # Rules checks itself and names the key first: `rules.max_triggers: expected 1 to 4, found 9`.
        path = ".".join(str(error).partition(":")[0].split(".")[:2])
        origin = sources.get(path)
        raise ConfigError(f"{origin}: {error}" if origin else str(error)) from None


def _check_together(kafka: Kafka, sources: Mapping[str, str]) -> None:
    def complain(name: str, text: str) -> ConfigError:
        return ConfigError(f"{sources.get(f'kafka.{name}', 'default')}: kafka.{name}: {text}")

    sasl = kafka.security_protocol.startswith("SASL")
    if sasl and not (kafka.sasl_mechanism and kafka.sasl_username and kafka.sasl_password):
        found = [name for name in ("sasl_mechanism", "sasl_username", "sasl_password") if not getattr(kafka, name)]
        raise complain(
            "security_protocol",
            f"{kafka.security_protocol} needs {' and '.join(f'kafka.{name}' for name in found)}: set it too",
        )
    for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
        if not sasl and getattr(kafka, name):
            raise complain(
                name, f"expected security_protocol SASL_SSL or SASL_PLAINTEXT with it, found {kafka.security_protocol}"
            )
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if getattr(kafka, name) and not kafka.security_protocol.endswith("SSL"):
            raise complain(name, f"expected security_protocol SSL or SASL_SSL with it, found {kafka.security_protocol}")
    if bool(kafka.ssl_certfile) != bool(kafka.ssl_keyfile):
        given, missing = ("ssl_certfile", "ssl_keyfile") if kafka.ssl_certfile else ("ssl_keyfile", "ssl_certfile")
        raise complain(given, f"expected kafka.{missing} beside it, found none: a client certificate needs both")
