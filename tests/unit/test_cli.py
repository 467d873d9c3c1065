"""The command line: its exit codes, its words for mistakes, and a page that documents every command and option."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from streams import __version__, feeds
from streams.cli import EXPECTED, cli, exit_code, expected_failures, run
from streams.commands.options import HELP_FILE, HELP_PREFIX, HELP_SERVERS, HELP_SET
from streams.config import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
BARS = str(Path(feeds.__file__).parent / "data" / "XNYS_BABA_daily.csv")
COMMON = {"--config", "--set", "--bootstrap-servers", "--prefix", "--help"}


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FIFTYTWO_") and name != "FIFTYTWO_CACHE_DIR":
            monkeypatch.delenv(name)


def commands(group: click.Group = cli, path: str = "fiftytwo") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands())


def section(path: str) -> str:
    _, heading, rest = PAGE.partition(f"\n## `{path}`\n")
    assert heading, f"no section for {path}"
    return rest.partition("\n## ")[0]


def own_options(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option) and not COMMON & set(each.opts)]


def test_every_command_of_the_product_is_there() -> None:
    """The command line has the commands that the product promises, demo first."""
    assert list(COMMANDS) == [
        "fiftytwo demo",
        "fiftytwo topics apply",
        "fiftytwo topics check",
        "fiftytwo worker",
        "fiftytwo clock",
        "fiftytwo publish ticks",
        "fiftytwo publish news",
        "fiftytwo publish bars",
        "fiftytwo publish actions",
        "fiftytwo replay bars",
        "fiftytwo coverage",
        "fiftytwo check-levels",
        "fiftytwo signals",
        "fiftytwo dlq list",
        "fiftytwo dlq show",
        "fiftytwo verify",
        "fiftytwo rewind",
        "fiftytwo config show",
        "fiftytwo config check",
        "fiftytwo warm",
    ]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_and_argument_is_documented(path: str) -> None:
    """A command's section has a row for each of its options, and names its arguments."""
    text = section(path)

    for option in own_options(COMMANDS[path]):
        assert any(re.search(rf"^\| `{name}[` ]", text, flags=re.MULTILINE) for name in option.opts), option.opts
    for argument in COMMANDS[path].params:
        if isinstance(argument, click.Argument):
            assert f"`{argument.metavar}`" in text, argument.metavar


@pytest.mark.parametrize("path", COMMANDS)
def test_page_documents_no_option_that_does_not_exist(path: str) -> None:
    """An option that is gone leaves the page."""
    known = {name for option in own_options(COMMANDS[path]) for name in option.opts}

    documented = re.findall(r"^\| `(-[\w-]+)", section(path), flags=re.MULTILINE)

    assert set(documented) == {name for name in known if name in documented}
    assert len(documented) == len(own_options(COMMANDS[path]))


def test_page_documents_the_common_options_and_no_other_command() -> None:
    """Options of every command stand once; each section is a command's."""
    common = PAGE.partition("\n## Options for every command\n")[2].partition("\n## ")[0]

    assert {name for name in COMMON if f"`{name}" in common} == COMMON
    assert re.findall(r"^## `(fiftytwo [\w -]+)`", PAGE, flags=re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help says what a command does and what each option means; the examples keep their lines."""
    assert run([*path.split()[1:], "--help"]) == 0

    shown = capsys.readouterr().out
    assert "Examples:\n    fiftytwo " in shown
    for option in own_options(COMMANDS[path]):
        assert option.help


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != "fiftytwo demo"])
def test_common_options_stand_before_or_after_the_command(path: str) -> None:
    """Every command but the demo takes the options that say which configuration."""
    names = {name for each in COMMANDS[path].params if isinstance(each, click.Option) for name in each.opts}

    assert COMMON - {"--help"} <= names


def test_common_options_are_explained_once() -> None:
    """The group's help explains them; commands keep their own help short."""
    texts = {each.help for each in cli.params if isinstance(each, click.Option)}

    assert {HELP_FILE, HELP_SET, HELP_SERVERS, HELP_PREFIX} <= texts
    for command in COMMANDS.values():
        assert all(each.hidden for each in command.params if isinstance(each, click.Option) and COMMON & set(each.opts))


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != "fiftytwo demo"])
def test_help_of_a_command_says_how_to_reach_a_kafka(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The common options are explained once, and every command that takes them says where."""
    assert run([*path.split()[1:], "--help"]) == 0

    shown = " ".join(capsys.readouterr().out.split())
    assert "--bootstrap-servers, --prefix, --set and --config" in shown
    assert "see fiftytwo --help" in shown


@pytest.mark.parametrize("path", [[], ["publish"], ["topics"], ["config"], ["dlq"]])
def test_lists_of_commands_cut_no_sentence(path: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Half a sentence explains nothing."""
    assert run([*path, "--help"]) == 0

    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_what_an_output_cannot_show_is_replaced() -> None:
    """A headline with a character that the terminal's encoding lacks must not end a command."""
    program = (
        "import click, streams.cli as c\n"
        "@c.cli.command('say')\ndef say(): print('\\u25b2 up')\n"
        "raise SystemExit(c.run(['say']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "? up\n")


def test_help_is_quick() -> None:
    """Help imports click and nothing that takes long."""
    program = (
        "import sys\nfrom streams.cli import run\ncode = run(['--help'])\n"
        "heavy = {'asyncio', 'numpy', 'numba', 'faust', 'aiokafka', 'pandas', 'rich'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr == "0 []\n"


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints name and version."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"fiftytwo {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["topcs"], "No such command 'topcs'"),
        (["topics", "aply"], "No such command 'aply'"),
        (["signals", "--famly", "x"], "No such option"),
        (["signals", "--instrument", "BABA"], "expected MIC:SYMBOL such as XNYS:BABA, found 'BABA'"),
        (["signals", "--family", "high_25w"], "expected a family of signals, found 'high_25w': did you mean high_52w?"),
        (["signals", "-n", "0"], "0 is not in the range x>=1"),
        (["publish", "ticks"], "Missing argument 'FILE...'"),
        (["publish", "ticks", "/no/such/file"], "File '/no/such/file' does not exist"),
        (["publish", "ticks", __file__, BARS, __file__], "expected each file once"),
        (["publish", "bars", "--raw", BARS, BARS], "expected each file once"),
        (["publish", "ticks", "-", "-"], "expected each file once"),
        (["publish", "ticks", "--rate", "0", __file__], "0.0 is not in the range x>0"),
        (["replay", "bars", __file__], "Missing option '--from'"),
        (["replay", "bars", __file__, "--from", "11/09/2025"], "expected a date like 2025-09-29, found '11/09/2025'"),
        (["replay", "bars", __file__, "--from", "2025-02-30"], "found '2025-02-30', which does not exist"),
        (
            ["replay", "bars", __file__, BARS, "--from", "2025-09-11", "--instrument", "X"],
            "expected one file with it",
        ),
        (
            ["replay", "bars", BARS, "--from", "2030-01-01"],
            "expected a session on 2030-01-01 or later, found 2025-",
        ),
        (["dlq", "show", "ticks-0-15"], "expected a name such as ticks/0/15"),
        (["--set", "kafka.partitions", "config", "show"], "expected SECTION.KEY=VALUE, found 'kafka.partitions'"),
        (["--config", "/no/such/file.toml", "config", "show"], "expected a configuration file at /no/such/file.toml"),
        (["--set", "kafka.prefx=a.", "config", "show"], "unknown key kafka.prefx: did you mean kafka.prefix?"),
        (["--bootstrap-servers", "kafka", "topics", "check"], "kafka.bootstrap_servers: expected host:port"),
        (["config", "check", "--set", "markets.mics=XNYS,NYSE"], "found 'NYSE': did you mean XNYS?"),
        (["config", "check", "--set", "rules.thresholds=roc_5=0.1"], "expected an entry and an exit, found only '0.1'"),
        (["config", "check", "--set", "rules.lookback=300s"], "rules.lookback: expected a window of at most"),
    ],
)
def test_asking_wrongly_ends_with_2_and_a_clear_word(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake of the user's is told on standard error, without a traceback, and nothing is done."""
    assert run(arguments) == 2

    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    "arguments", [["topics", "check"], ["topics", "apply"], ["signals"], ["dlq", "list"], ["clock"]]
)
def test_no_broker_ends_with_1_and_says_where_it_looked(arguments: list[str]) -> None:
    """Where no broker answers, one line says so, with the address and what to do; libraries keep silent."""
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "--bootstrap-servers", "127.0.0.1:1", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "127.0.0.1:1" in errors[0]
    assert "kafka.bootstrap_servers" in errors[0]
    assert "Traceback" not in done.stderr
    assert "Unable connect" not in done.stderr


@pytest.mark.parametrize("name", EXPECTED)
def test_expected_failures_exist(name: str) -> None:
    """A failure that is told in one line is named by where it is defined: a renamed one must not become a traceback."""
    module, _, kind = name.rpartition(".")

    assert issubclass(getattr(import_module(module), kind), Exception)


def test_a_mistake_of_ours_is_no_expected_failure() -> None:
    """What nobody foresaw shows its traceback; what a user can mend has its exit code."""
    assert not isinstance(KeyError("x"), expected_failures())
    assert isinstance(FileNotFoundError("x"), expected_failures())
    assert exit_code(FileNotFoundError("x")) == 1
    assert exit_code(ConfigError("x")) == 2


def test_configuration_shown_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `config show` prints can be given to --config, and says where values came from."""
    file = tmp_path / "fiftytwo.toml"
    file.write_text('[markets]\nmics = ["XLON"]\n', encoding="utf-8")
    assert run(["--config", str(file), "config", "show", "--prefix", "paper."]) == 0
    shown = capsys.readouterr().out

    document = tomllib.loads(shown)
    file.write_text(shown, encoding="utf-8")
    assert run(["--config", str(file), "config", "show"]) == 0

    assert document["markets"]["mics"] == ["XLON"]
    assert document["kafka"]["prefix"] == "paper."
    assert 'prefix = "paper."  # command line' in shown
    assert f'mics = ["XLON"]  # {file}' in shown
    assert tomllib.loads(capsys.readouterr().out) == document


def test_configuration_shown_keeps_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password is said to be set, and not shown."""
    monkeypatch.setenv("FIFTYTWO_KAFKA_SASL_PASSWORD", "open sesame")
    flags = ["security_protocol=SASL_SSL", "sasl_mechanism=PLAIN", "sasl_username=me"]

    assert run([*(part for flag in flags for part in ("--set", f"kafka.{flag}")), "config", "show"]) == 0

    shown = capsys.readouterr().out
    assert "open sesame" not in shown
    assert "# sasl_password is set, and not shown. From environment variable FIFTYTWO_KAFKA_SASL_PASSWORD" in shown


def test_checking_the_configuration_names_the_markets(capsys: pytest.CaptureFixture[str]) -> None:
    """`config check` loads the calendars and says how far they reach."""
    assert run(["config", "check", "--set", "markets.mics=XNYS"]) == 0

    assert "XNYS: 12,833 sessions from 1990-01-02 to 2040-12-31" in capsys.readouterr().out


def test_a_reader_that_has_enough_is_no_error() -> None:
    """`fiftytwo config show | head -1` ends without a word about a broken pipe."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m streams.cli config show | head -c 1"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "["
    assert done.stderr == ""
