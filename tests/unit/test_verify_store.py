"""The file of an interrupted verification: what it is of, and which positions it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from streams.audit import store as store_module
from streams.audit.report import PartitionReport
from streams.audit.store import FanoutPartial, FileStore, Partial, StoreRefused
from streams.config import Config


@pytest.mark.parametrize("part", ["partitions", "markets", "news", "rules"])
def test_file_of_another_configuration_is_refused(tmp_path: Path, part: str) -> None:
    """Whatever decides what is expected is part of what a file is about."""
    config = Config()
    file = tmp_path / "verify.json"
    FileStore(file, config).finished(PartitionReport("state", 0))
    other = {
        "partitions": replace(config, kafka=replace(config.kafka, partitions=config.kafka.partitions + 1)),
        "markets": replace(config, markets=replace(config.markets, mics=("XNAS",))),
        "news": replace(config, news=replace(config.news, tags_max=config.news.tags_max + 1)),
        "rules": replace(config, rules=replace(config.rules, hysteresis_bps=config.rules.hysteresis_bps + 1)),
    }

    with pytest.raises(StoreRefused, match="another"):
        FileStore(file, other[part])
    FileStore(file, config)


def interrupted(file: Path, config: Config) -> None:
    """Leave what a verification that was interrupted leaves: a finished partition, half of another, half of copies."""
    store = FileStore(file, config)
    store.finished(PartitionReport("state", 0))
    store.keep(Partial(1, "offset 0", 10, {"ticks": 10}, {"signals": 3}, {}, {}, []))
    store.keep_fanout(FanoutPartial([], [], {}))


def test_halves_without_their_file_are_nothing_to_go_on_from(tmp_path: Path) -> None:
    """Whoever removes the file begins anew, with another application too."""
    file = tmp_path / "verify.json"
    interrupted(file, Config())
    assert FileStore(file, Config()).partial(1) is not None
    file.unlink()

    anew = FileStore(file, Config())

    assert (anew.partial(1), anew.fanout()) == (None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("half", ["verify.json.partition", "verify.json.articles"])
def test_half_of_another_verification_is_refused(tmp_path: Path, half: str) -> None:
    """A file beside the one that is named says itself whose it is."""
    config = Config()
    other = replace(config, kafka=replace(config.kafka, application_id="other"))
    interrupted(tmp_path / "verify.json", config)
    (tmp_path / "elsewhere").mkdir()
    interrupted(tmp_path / "elsewhere" / "verify.json", other)
    (tmp_path / "elsewhere" / half).replace(tmp_path / half)

    with pytest.raises(StoreRefused, match=f"{half} to be of form .* configuration, and of version"):
        FileStore(tmp_path / "verify.json", config)


@pytest.mark.parametrize("half", ["verify.json.partition", "verify.json.articles"])
@pytest.mark.parametrize("content", [b"", b"xx", b"\x93\x04"])
def test_damaged_half_is_refused_with_what_to_do(tmp_path: Path, half: str, content: bytes) -> None:
    """The text names the file, and that only what it held is verified again."""
    interrupted(tmp_path / "verify.json", Config())
    (tmp_path / half).write_bytes(content)

    with pytest.raises(StoreRefused, match=f"{half} .* remove it: what it held is verified again"):
        FileStore(tmp_path / "verify.json", Config())


@pytest.mark.parametrize("version", ["__version__", "RULES_VERSION", "FORM"])
def test_files_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """What another version has verified, or in another form, is not taken for what this one would say."""
    interrupted(tmp_path / "verify.json", Config())
    monkeypatch.setattr(store_module, version, 0 if version == "FORM" else "another")

    with pytest.raises(StoreRefused, match="another"):
        FileStore(tmp_path / "verify.json", Config())


def test_positions_are_those_of_the_run_that_first_read_a_partition(tmp_path: Path) -> None:
    """A place keeps the position that it was first judged at; places that come later are added."""
    file = tmp_path / "verify.json"
    store = FileStore(file, Config())
    store.positions({("ticks", 0): 5})
    store.finished(PartitionReport("state", 0))

    again = FileStore(file, Config())

    assert again.positions({("ticks", 0): 9, ("ticks", 1): 7}) == {("ticks", 0): 5, ("ticks", 1): 7}
