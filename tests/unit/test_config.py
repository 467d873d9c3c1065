"""The configuration: one frozen object from file, environment and command line, and no key that is not documented."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streams.config import SECTIONS, Config, ConfigError, Kafka, Setting, load, settings
from streams.config_values import to_toml
from streams.core.rules import DEFAULT_THRESHOLDS, Rules

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
SETTINGS = list(settings())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fiftytwo.toml"


def complaint(
    file: Path | None = None,
    text: str = "",
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> str:
    if file is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(file, env or {}, flags)
    return str(refused.value)


def test_defaults_hold_without_any_source() -> None:
    """Without file, environment and flags the configuration is that of a Kafka on this machine."""
    config = load(None, {})

    assert config == Config()
    assert config.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert config.markets.mics == ("XNYS", "XNAS", "XHKG")
    assert config.rules == Rules()
    assert config.sources == {}


def test_flag_wins_over_environment_over_file(file: Path) -> None:
    """The nearer source wins, and each key knows which one it was."""
    file.write_text('[kafka]\nprefix = "a."\npartitions = 8\napplication_id = "one"\n', encoding="utf-8")
    env = {"FIFTYTWO_KAFKA_PREFIX": "b.", "FIFTYTWO_KAFKA_PARTITIONS": "12"}

    config = load(file, env, {"kafka.prefix": "c."})

    assert (config.kafka.prefix, config.kafka.partitions, config.kafka.application_id) == ("c.", 12, "one")
    assert config.sources["kafka.prefix"] == "command line"
    assert config.sources["kafka.partitions"] == "environment variable FIFTYTWO_KAFKA_PARTITIONS"
    assert config.sources["kafka.application_id"] == str(file)


def test_environment_names_the_file(file: Path) -> None:
    """FIFTYTWO_CONFIG is the file where the command line names none."""
    file.write_text("[web]\nport = 0\n", encoding="utf-8")

    assert load(None, {"FIFTYTWO_CONFIG": str(file)}).web.port == 0


def test_configuration_is_frozen() -> None:
    """Nothing changes the configuration once it is read."""
    config = load(None, {})

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.kafka.partitions = 2  # type: ignore[misc]  # The assignment that must fail.


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.path)
def test_printed_value_reads_back(setting: Setting, file: Path) -> None:
    """Every default, written as TOML, is read as itself."""
    file.write_text(f"[{setting.section}]\n{setting.name} = {to_toml(setting.default)}\n", encoding="utf-8")

    assert load(file, {}) == Config()


@pytest.mark.parametrize("text", ['plain "quoted" \\ back', "tab\tline\nnul\x00 del\x7f", "Alibaba 阿里巴巴"])
def test_any_text_survives_toml(text: str) -> None:
    """Quotes, control characters and other scripts come back as they were."""
    assert tomllib.loads(f"value = {to_toml(text)}")["value"] == text


def test_lists_and_tables_read_from_text() -> None:
    """In the environment and on the command line commas separate, and a slash parts enter from exit."""
    env = {"FIFTYTWO_MARKETS_MICS": "XLON, XTKS", "FIFTYTWO_RULES_THRESHOLDS": "roc_5=0.15/0.10,gap=0.05"}

    config = load(None, env, {"news.zones": "CST=Asia/Shanghai,IST=+05:30", "rules.band": "false"})

    assert config.markets.mics == ("XLON", "XTKS")
    assert config.rules.threshold("roc_5") == ("0.15", "0.10")
    assert config.rules.threshold("gap") == ("0.05", "")
    assert config.news.zones == {"CST": "Asia/Shanghai", "IST": "+05:30"}
    assert config.rules.band is False


def test_tables_are_merged_from_weak_to_strong(file: Path) -> None:
    """Naming one threshold keeps the defaults and the file's for the others."""
    file.write_text('[rules.thresholds]\nroc_5 = ["0.15", "0.10"]\ngap = "0.04"\n', encoding="utf-8")

    config = load(file, {}, {"rules.thresholds.gap": "0.06"})

    assert config.rules.threshold("roc_5") == ("0.15", "0.10")
    assert config.rules.threshold("gap") == ("0.06", "")
    assert config.rules.threshold("roc_60") == DEFAULT_THRESHOLDS["roc_60"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kafka]\npartition = 3", "unknown key kafka.partition: did you mean kafka.partitions?"),
        ("[kafak]\npartitions = 3", "unknown section [kafak]: did you mean kafka?"),
        ("[kafka]\nzzzz = 3", "unknown key kafka.zzzz: `fiftytwo config show` prints every key there is"),
        ("kafka = 3", "expected [kafka] to be a section, found 3"),
        ("[kafka]\npartitions = '3'", "kafka.partitions: expected a whole number from 1 to 10000, found '3': write it"),
        ("[kafka]\npartitions = true", "kafka.partitions: expected a whole number from 1 to 10000, found True"),
        ("[kafka]\npartitions = 1.0", "kafka.partitions: expected a whole number from 1 to 10000, found 1.0"),
        ("[kafka]\npartitions = 0", "kafka.partitions: expected a whole number from 1 to 10000, found 0"),
        ("[kafka]\nsecurity_protocol = 'TLS'", "expected one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, found 'TLS'"),
        ("[kafka]\nbootstrap_servers = 'localhost'", "expected host:port, several separated by commas without spaces"),
        ("[kafka]\nprefix = 'a b'", "kafka.prefix: expected at most 100 letters"),
        ("[kafka]\nssl_cafile = '/no/such/file'", "expected the path of a file, found none at /no/such/file"),
        ("[markets]\nmics = 'XNYS'", "markets.mics: expected a list of texts"),
        ("[markets]\nmics = []", "markets.mics: expected codes of four capital letters"),
        ("[markets]\nmics = ['XNYS', 'XNYS']", "markets.mics: expected each name once"),
        ("[markets]\nmics = ['xnys']", "found 'xnys'"),
        (
            "[rules]\ntick_size = 0.01",
            "rules.tick_size: expected a decimal above zero in quotes, such as '0.01', found 0.01",
        ),
        (
            "[rules]\ntick_size = 'x'",
            "rules.tick_size: expected a decimal above zero in quotes, such as '0.01', found 'x'",
        ),
        ("[rules]\ntick_size = '0'", "rules.tick_size: expected a price above zero, found '0'"),
        ("[rules]\nlookback = '3w'", "rules.lookback: expected days ('364d'), sessions ('252s') or '1y', found '3w'"),
        ("[rules]\nmax_triggers = 5", "rules.max_triggers: expected a whole number from 1 to 4, found 5"),
        ("[rules]\nfamilies = ['high_25w']", "found 'high_25w': did you mean high_52w?"),
        ("[rules]\nthresholds = 3", "rules.thresholds: expected a table"),
        ("[rules.thresholds]\nroc_5 = [0.1, 0.2]", "rules.thresholds.roc_5: expected enter and exit as texts"),
        ("[rules.thresholds]\nroc_7 = '0.1'", "rules.thresholds: expected names among"),
        ("[rules.thresholds]\nroc_5 = ['0.1', '0.2']", "rules.thresholds.roc_5: expected the exit"),
        ("[news]\nrelevance_min = 1.5", "news.relevance_min: expected a number from 0 to 1, found 1.5"),
        ("[news.zones]\nCST = 'Asia/Nowhere'", "news.zones.CST: expected an IANA zone"),
        (
            "[log]\nlevel = 'inf'",
            "log.level: expected one of debug, info, warning, error, found 'inf': did you mean info?",
        ),
        ("[kafka\n", "expected TOML, found"),
    ],
)
def test_bad_file_is_refused_with_a_clear_word(file: Path, text: str, said: str) -> None:
    """An error says where, what was expected and what was found; a misspelt name gets the nearest one."""
    message = complaint(file, text)

    assert said in message
    assert str(file) in message


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"FIFTYTWO_KAFKA_PARTITION": "3"}, "FIFTYTWO_KAFKA_PARTITION: did you mean FIFTYTWO_KAFKA_PARTITIONS?"),
        (
            {"FIFTYTWO_KAFKA_PARTITIONS": "many"},
            "environment variable FIFTYTWO_KAFKA_PARTITIONS: expected a whole number",
        ),
        (
            {"FIFTYTWO_WEB_PORT": "65536"},
            "environment variable FIFTYTWO_WEB_PORT: expected a whole number from 0 to 65535",
        ),
        ({"FIFTYTWO_RULES_BAND": "maybe"}, "environment variable FIFTYTWO_RULES_BAND: expected true or false"),
        ({"FIFTYTWO_RULES_COVERAGE_MIN": "nan"}, "expected a number from 0 to 1, found 'nan'"),
        ({"FIFTYTWO_NEWS_ZONES": "CST"}, "expected name=value pairs separated by commas"),
        ({"FIFTYTWO_CONFIG": "/no/such/file.toml"}, "expected a configuration file at /no/such/file.toml, found none"),
    ],
)
def test_bad_environment_is_refused_with_the_variables_name(env: dict[str, str], said: str) -> None:
    """A variable with our prefix that is no key, or whose value cannot be, is named."""
    assert said in complaint(env=env)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"kafka.partitons": "3"}, "command line: unknown key kafka.partitons: did you mean kafka.partitions?"),
        ({"kafka.partitions": "3.5"}, "command line: kafka.partitions: expected a whole number"),
        ({"rules.thresholds.roc_5": "x"}, "rules.thresholds.roc_5: expected decimal fractions"),
        ({"rules.thresholds.roc_5": "0.1/y"}, "command line: rules.thresholds.roc_5: expected decimal fractions"),
    ],
)
def test_bad_flag_is_refused(flags: dict[str, str], said: str) -> None:
    """The command line is named as the place of the mistake."""
    assert said in complaint(flags=flags)


def test_service_links_of_kubernetes_are_no_keys() -> None:
    """Kubernetes tells a pod of the services beside it; a service called fiftytwo-web must not stop the worker."""
    env = {
        "FIFTYTWO_SERVICE_HOST": "10.0.0.1",
        "FIFTYTWO_SERVICE_PORT": "9464",
        "FIFTYTWO_PORT": "tcp://10.0.0.1:9464",
        "FIFTYTWO_WEB_PORT": "tcp://10.0.0.1:9464",
        "FIFTYTWO_WEB_PORT_9464_TCP_ADDR": "10.0.0.1",
    }

    assert load(None, env) == Config()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"kafka.security_protocol": "SASL_SSL"},
            "kafka.sasl_mechanism and kafka.sasl_username and kafka.sasl_password",
        ),
        (
            {"kafka.sasl_username": "me"},
            "expected security_protocol SASL_SSL or SASL_PLAINTEXT with it, found PLAINTEXT",
        ),
        ({"kafka.ssl_cafile": __file__}, "expected security_protocol SSL or SASL_SSL with it, found PLAINTEXT"),
        ({"kafka.security_protocol": "SSL", "kafka.ssl_certfile": __file__}, "expected kafka.ssl_keyfile beside it"),
        ({"kafka.security_protocol": "SSL", "kafka.ssl_keyfile": __file__}, "expected kafka.ssl_certfile beside it"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(flags: dict[str, str], said: str) -> None:
    """Half of a sign-in would fail later and less clearly."""
    assert said in complaint(flags=flags)


def test_password_is_never_shown() -> None:
    """Neither the object's text nor an error carries the password."""
    flags = {"kafka.security_protocol": "SASL_SSL", "kafka.sasl_mechanism": "PLAIN", "kafka.sasl_username": "me"}
    config = load(None, {"FIFTYTWO_KAFKA_SASL_PASSWORD": "open sesame"}, flags)

    assert config.kafka.sasl_password == "open sesame"
    assert "open sesame" not in repr(config)


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each.section == "rules"], ids=lambda each: each.name)
def test_described_bounds_of_rules_are_the_rules_own(setting: Setting) -> None:
    """The core checks its own ranges; the description gives the same ones."""
    if setting.key.minimum is None or setting.key.maximum is None:
        return
    whole = isinstance(setting.default, int)
    for bound, beyond in ((setting.key.minimum, -1), (setting.key.maximum, 1)):
        within: dict[str, Any] = {setting.name: int(bound) if whole else bound}
        outside: dict[str, Any] = {setting.name: within[setting.name] + beyond}
        Rules(**within)
        with pytest.raises(ValueError, match=setting.name):
            Rules(**outside)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.path)
def test_every_key_is_documented_with_its_default(setting: Setting) -> None:
    """A key has one row on the page, with its default and its very description."""
    page = DOCUMENT.read_text(encoding="utf-8")

    rows = [line for line in page.splitlines() if line.startswith(f"| `{setting.path}` |")]

    assert len(rows) == 1
    assert setting.key.description in rows[0]
    if setting.name not in ("families", "thresholds"):
        shown = to_toml(setting.default)
        assert (" empty " if shown == '""' else f"`{shown}`") in rows[0].split("|")[2]


def test_page_documents_no_key_that_does_not_exist() -> None:
    """A key that is gone leaves the page."""
    page = DOCUMENT.read_text(encoding="utf-8")

    documented = re.findall(r"^\| `(\w+\.\w+)` \|", page, flags=re.MULTILINE)

    assert documented == [setting.path for setting in SETTINGS]
    assert re.findall(r"^### `\[(\w+)\]`", page, flags=re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("family", DEFAULT_THRESHOLDS)
def test_page_shows_the_default_thresholds(family: str) -> None:
    """The table of families carries each measure's enter and exit."""
    page = DOCUMENT.read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{family}` |"))

    enter, leave = DEFAULT_THRESHOLDS[family]

    assert f"`{enter}`" in row
    assert (f"`{leave}`" if leave else "never") in row


def test_workers_of_another_prefix_are_another_group() -> None:
    """They read other topics: sharing a group would make each set-up rebalance with the other."""
    assert Kafka().group == "fiftytwo"
    assert Kafka(prefix="replay.", application_id="one").group == "replay.one"
