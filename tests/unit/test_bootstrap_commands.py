"""The commands that bring history in: what is asked wrongly is told before anything is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.cli import run

OURS = "date,open,high,low,close,volume\n2025-06-02,1,1,1,1,1\n"
ACTIONS = "instrument,action,ex_date,ratio\nXNYS:A,split,2025-06-10,4:1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("FIFTYTWO_") and name != "FIFTYTWO_CACHE_DIR":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "XNYS_A.csv").write_text(OURS)
    (tmp_path / "XNYS_B.csv").write_text(OURS)
    (tmp_path / "yahoo.csv").write_text("Date,Open,High,Low,Close,Adj Close,Volume\n")
    (tmp_path / "actions.csv").write_text(ACTIONS)
    (tmp_path / "wrong.csv").write_text(ACTIONS.replace("4:1", "4"))
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["bars", "yahoo.csv", "--mic", "XNYS"], 2, "say --raw if they are as traded, --adjusted if"),
        (["bars", "yahoo.csv", "--raw"], 2, "expected to be told whose bars they are"),
        (["bars", "yahoo.csv", "--raw", "--adjusted"], 2, "Expected --raw or --adjusted, found both"),
        (["bars", "XNYS_A.csv", "--adjusted"], 2, "expected the actions that the prices are adjusted for"),
        (["bars", "XNYS_A.csv", "--raw", "--adjusted-to", "2025-06-10"], 2, "Expected --adjusted with --adjusted-to"),
        (["bars", "XNYS_A.csv", "--columns", "day=Date"], 2, "expected one of date, open"),
        (["bars", "XNYS_A.csv", "--columns", "date"], 2, "expected pairs such as date=Date"),
        (["bars", "XNYS_A.csv", "--columns", "date=a,date=b"], 2, "expected each column once"),
        (["bars", "XNYS_A.csv", "XNYS_B.csv", "--instrument", "XNYS:A"], 2, "expected one file with it"),
        (
            ["bars", "yahoo.csv", "--raw", "--columns", "symbol=Volume"],
            2,
            "expected --mic MIC with a column of symbols",
        ),
        (["bars", "empty"], 2, "expected files that end in .csv, .parquet, .pq, found none in this folder"),
        (
            ["bars", "XNYS_A.csv", "--adjusted", "--actions", "wrong.csv"],
            1,
            "wrong.csv:2: ratio: expected whole numbers",
        ),
        (["actions", "actions.csv", "--columns", "price=close"], 2, "expected one of instrument, action_id"),
        (["actions", "empty"], 2, "found none in this folder"),
    ],
)
def test_publishing_that_is_asked_wrongly_ends_before_it_begins(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No broker is asked: nothing can have been sent."""
    assert run(["publish", *arguments, "--bootstrap-servers", "127.0.0.1:1"]) == code

    shown = " ".join(capsys.readouterr().err.split())
    assert said in shown
    assert "127.0.0.1" not in shown
