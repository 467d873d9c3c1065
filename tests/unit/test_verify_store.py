"""The file of an interrupted verification: what it is of, and which positions it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from streams.audit.report import PartitionReport
from streams.audit.store import FileStore, StoreRefused
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


def test_positions_are_those_of_the_run_that_first_read_a_partition(tmp_path: Path) -> None:
    """A place keeps the position that it was first judged at; places that come later are added."""
    file = tmp_path / "verify.json"
    store = FileStore(file, Config())
    store.positions({("ticks", 0): 5})
    store.finished(PartitionReport("state", 0))

    again = FileStore(file, Config())

    assert again.positions({("ticks", 0): 9, ("ticks", 1): 7}) == {("ticks", 0): 5, ("ticks", 1): 7}
