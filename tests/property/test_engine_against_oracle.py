"""The engine against the oracle: two implementations of one specification that share no code must say the same.

`FIFTYTWO_EXAMPLES` sets the number of logs; without it the run is the same every time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.core.engine import TOTALS
from streams.core.rows import EMITTED_MAX
from streams.core.rules import RULES_VERSION
from tests.property.engine_run import Outcome, dumped, fold, json_documents
from tests.property.streams_markets import Log
from tests.property.streams_rare import FEATURES
from tests.property.streams_strategy import cuts, logs, seeded_log

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("FIFTYTWO_EXAMPLES", "160"))

# A log is large and is folded while it is drawn.
UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

# What a log may hold besides trades, bars and clocks.
MIXTURES: dict[str, tuple[str, ...]] = {
    "trades": (),
    "cancels": ("cancels",),
    "actions": ("actions", "guard"),
    "statements": ("statements",),
    "extended": ("extended", "cancels"),
    "sessions": ("sessions",),
    "everything": FEATURES,
    "everything, in extended hours too": ("extended", *FEATURES),
}

CASES = [(mixture, seed) for mixture in MIXTURES for seed in range(EXAMPLES // len(MIXTURES))]


def assert_oracle_agrees(log: Log, outcome: Outcome) -> None:
    provenance = {"rules": RULES_VERSION, "calendar": ""}

    assert json_documents(outcome) == [{**document, "provenance": provenance} for document in log.documents]
    assert outcome.refused == log.refused
    assert outcome.counters == {name: log.counts.get(name, 0) for name in TOTALS}


@pytest.mark.parametrize("mixture, seed", CASES)
def test_engine_says_what_the_oracle_says(mixture: str, seed: int) -> None:
    """Equal logs give equal documents in equal order, equal refusals and equal counts, cut into batches anywhere."""
    log = seeded_log(seed, features=MIXTURES[mixture])
    random = Random(seed)
    places = sorted(random.randint(0, len(log.records)) for _ in range(random.choice((0, 1, 5, 40))))

    assert_oracle_agrees(log, fold(log, places))


@given(data=st.data(), log=logs(features=()))
@settings(deadline=None, suppress_health_check=UNHURRIED, max_examples=max(1, EXAMPLES // 8))
def test_engine_says_what_the_oracle_says_to_logs_that_shrink(data: st.DataObject, log: Log) -> None:
    """The same for logs that Hypothesis draws, so that a disagreement is shown by its shortest log."""
    assert_oracle_agrees(log, fold(log, data.draw(cuts(log))))


@pytest.mark.parametrize("seed", range(EXAMPLES // 10))
def test_batches_buffers_and_the_band_change_no_byte(seed: int) -> None:
    """One batch, a batch a record, the smallest output buffer and an engine without a band give the same bytes."""
    log = seeded_log(seed, steps_max=20)

    whole = fold(log)

    assert fold(log, range(1, len(log.records))) == whole
    assert fold(log, outputs_max=EMITTED_MAX) == whole
    assert fold(log, band=False) == whole


@pytest.mark.compiled_only
def test_uncompiled_engine_says_the_same_bytes() -> None:
    """The compiled code and the Python it is compiled from agree byte for byte, and no integer leaves its range."""
    drawn = [seeded_log(seed, steps_max=15) for seed in range(EXAMPLES // 10)]
    lines = "".join(json.dumps(dumped(log)) + "\n" for log in drawn)
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.property.engine_run"]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}

    ended = subprocess.run(
        command, input=lines, capture_output=True, text=True, cwd=ROOT, env=environment, check=False, timeout=600
    )

    assert ended.returncode == 0, ended.stderr
    uncompiled = [[value.encode() for value in json.loads(line)] for line in ended.stdout.splitlines()]
    assert uncompiled == [fold(log).values for log in drawn]
    assert any(uncompiled)
