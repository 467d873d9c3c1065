"""From a vendor's files to complete windows: published, folded from the log, and held against published levels."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from streams.calendars import load_markets
from streams.core.units import format_date, parse_date
from streams.feeds.bar_files import Reading, bars_of, sources_of
from streams.feeds.held import History, held
from streams.feeds.history import read_bars
from streams.feeds.publish import publish_tables
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.topics import connect
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import caught_up, config_for, make_topics, read
from tests.integration.test_worker import running

DAILY = Path("streams/feeds/data/XNYS_BABA_daily.csv")


def fiftytwo(bootstrap: str, prefix: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={
            **os.environ,
            "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "FIFTYTWO_KAFKA_PREFIX": prefix,
            "FIFTYTWO_KAFKA_PARTITIONS": "2",
            "FIFTYTWO_MARKETS_MICS": "XNYS",
        },
    )


def flat_year(folder: Path) -> Path:
    """Write a file of two symbols: one complete, one that begins late and lacks a session."""
    dates = load_markets(["XNYS"]).sessions_of("XNYS")["date"]
    year = [
        format_date(day) for day in dates[(dates >= parse_date("2024-09-30")) & (dates <= parse_date("2025-09-29"))]
    ]
    late = [day for day in year if day >= "2025-01-10" and day != "2025-09-26"]
    rows = [f"{day},{symbol},95,100,90,95,1e6" for symbol, days in (("FULL", year), ("LATE", late)) for day in days]
    path = folder / "vendor.csv"
    path.write_text("\n".join(["Day,Ticker,Open,High,Low,Close,Volume", *rows]))
    return path


@pytest.fixture
def ready(embedded: EmbeddedBroker, prefix: str) -> str:
    asyncio.run(make_topics(config_for(embedded.bootstrap, prefix)))
    return embedded.bootstrap


def test_vendors_files_become_windows_that_are_checked(ready: str, prefix: str, tmp_path: Path) -> None:
    """Publish, see what is missing, compare with published levels: each command says so with its exit code."""
    vendor = flat_year(tmp_path)
    universe = tmp_path / "universe.txt"
    universe.write_text("XNYS:FULL\nXNYS:LATE\nXNYS:NONE\n")
    levels = tmp_path / "levels.csv"
    levels.write_text(
        "instrument,session_date,high,low\nXNYS:BABA,2025-09-26,180.16,80.06\nXNYS:FULL,2025-09-29,95,95\n"
    )
    columns = "date=Day,symbol=Ticker"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return fiftytwo(ready, prefix, *arguments)

    unsaid = run("publish", "bars", str(vendor), "--mic", "XNYS", "--columns", columns)
    sent = run("publish", "bars", str(vendor), "--raw", "--mic", "XNYS", "--columns", columns)
    own = run("publish", "bars", str(DAILY))
    covered = run("coverage", "--at", "2025-09-30", "--instruments", str(universe), "--json")
    compared = run("check-levels", str(levels), "--json")

    assert (unsaid.returncode, sent.returncode, own.returncode) == (2, 0, 0)
    assert "--raw if they are as traded" in unsaid.stderr
    assert "XNYS:LATE: 1 of 180 sessions missing: 2025-09-26" in sent.stderr
    found = {each["instrument"]: each for each in map(json.loads, covered.stdout.splitlines())}
    assert covered.returncode == 1
    assert {name: each["coverage"] for name, each in found.items()} == {
        "XNYS:BABA": "full",
        "XNYS:FULL": "full",
        "XNYS:LATE": "partial",
        "XNYS:NONE": "absent",
    }
    assert found["XNYS:LATE"]["missing"][-1] == "2025-09-26"
    assert "4 instruments: 2 full, 1 partial, 1 absent." in covered.stderr
    assert compared.returncode == 1
    assert [
        (each["instrument"], each["side"], each["cause"]) for each in map(json.loads, compared.stdout.splitlines())
    ] == [
        ("XNYS:BABA", "high", "agrees"),
        ("XNYS:BABA", "low", "agrees"),
        ("XNYS:FULL", "high", "basis_close"),
        ("XNYS:FULL", "low", "basis_close"),
    ]


def test_complete_windows_and_equal_levels_end_with_zero(ready: str, prefix: str, tmp_path: Path) -> None:
    """Nothing missing, nothing different: exit code 0, and nothing to list."""
    levels = tmp_path / "levels.csv"
    levels.write_text("instrument,session_date,high,low\nXNYS:BABA,2025-09-29,181.34,80.06\n")

    assert fiftytwo(ready, prefix, "publish", "bars", str(DAILY)).returncode == 0
    covered = fiftytwo(ready, prefix, "coverage", "--at", "2025-10-03")
    compared = fiftytwo(ready, prefix, "check-levels", str(levels))

    assert (covered.returncode, covered.stdout) == (0, "")
    assert "1 instrument: 1 full." in covered.stderr
    assert (compared.returncode, compared.stdout) == (0, "")
    assert "2 levels: 2 agree." in compared.stderr


def test_actions_go_to_the_partition_of_their_instrument(ready: str, prefix: str, tmp_path: Path) -> None:
    """A file with a wrong line: the right ones are sent, and the exit code is 1."""
    actions = tmp_path / "actions.csv"
    actions.write_text("instrument,action,ex_date,ratio\nXNYS:A,split,2025-06-10,4:1\nXNYS:B,split,2025-06-10,4\n")

    done = fiftytwo(ready, prefix, "publish", "actions", str(actions))

    assert done.returncode == 1
    assert "Sent 1 record, refused 1 line." in done.stderr
    assert "actions.csv:3: ratio: expected whole numbers" in done.stderr


def test_bars_that_only_a_snapshot_holds_count(apache: ApacheBroker, prefix: str) -> None:
    """Retention has removed the bars from the log; the worker's snapshot has them, and so has the coverage."""

    async def work() -> History:
        config = config_for(apache.bootstrap, prefix)
        names = await make_topics(config)
        markets = load_markets(config.markets.mics)
        await publish_tables(config, sources_of([DAILY]), lambda source: bars_of(source, Reading(), markets))
        async with running(config):
            await caught_up(config)
        places = [TopicPartition(names.ticks, partition) for partition in range(config.kafka.partitions)]
        async with connect(config.kafka) as admin:
            # The broker takes -1 for all there are.
            await admin.delete_records(dict.fromkeys(places, RecordsToDelete(before_offset=-1)))
        assert await read(config, [names.ticks]) == []
        return (await held(config, markets))["XNYS:BABA"]

    history = asyncio.run(asyncio.wait_for(work(), 120))

    assert history.bars["date"].tolist() == [bar.date for bar in read_bars(DAILY)][-len(history.bars) :]
    assert len(history.bars) > 250
