"""Signals as lines that a trader reads: what happened, to which level, at which price."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from streams.commands.signal_text import family_of, signal_line

SCHEMAS = Path(__file__).parents[2] / "schemas"


def example(name: str, index: int = 0) -> dict[str, Any]:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    shown: dict[str, Any] = schema["examples"][index]
    return copy.deepcopy(shown)


def breakout(**changes: object) -> dict[str, Any]:
    document = {**example("breakout-signal"), "event_time": "2025-09-29T14:03:12.005750123Z", "price": "180.17"}
    document["metrics"].update(session_return=0.048049, ytd=1.124897)
    return {**document, **changes}


def test_suspicion_and_held_print_say_what_is_withheld() -> None:
    """A person sees why an instrument is silent, and which price nobody believes."""
    suspect, held = example("suspected-split-signal"), example("held-print-signal")
    discarded = {**suspect, "transition": "discarded"}

    assert signal_line(suspect).endswith(
        "looks like a split of 4:1 at 98.00, after 390.00 of 2025-09-26: what follows is withheld"
    )
    assert "was a split of 4:1" in signal_line(discarded)
    assert signal_line(held).endswith("print at 206.00 held")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "52-week high 180.16 of 2025-09-24: broken at 180.17 (day +4.80 %, year +112.49 %)"),
        (
            {"gap": True, "fresh": True, "streak": 3},
            "52-week high 180.16 of 2025-09-24: broken at 180.17 "
            "(day +4.80 %, year +112.49 %, gap, fresh, session 3 in a row)",
        ),
        (
            {"transition": "new_extreme", "price": "181.3"},
            "52-week high 180.16 of 2025-09-24: new extreme 181.30 (day +4.80 %, year +112.49 %)",
        ),
        ({"transition": "failed", "metrics": {}}, "52-week high 180.16 of 2025-09-24: failed at 180.17"),
        (
            {"transition": "confirmed", "metrics": {}, "recovered": True},
            "52-week high 180.16 of 2025-09-24: confirmed by the close at 180.17 (after a failure)",
        ),
        (
            {"transition": "unconfirmed", "metrics": {}, "price": None},
            "52-week high 180.16 of 2025-09-24: not confirmed, there was no close",
        ),
        (
            {"family": "low_52w", "metrics": {"session_return": None, "ytd": None}},
            "52-week low 180.16 of 2025-09-24: broken at 180.17",
        ),
        (
            {"transition": "retracted", "metrics": {}, "price": None, "reason": "cancelled"},
            "52-week high 180.16 of 2025-09-24: never was, its trade was taken back",
        ),
        (
            {"transition": "amended", "metrics": {}, "reason": "close_corrected", "verdict": "unconfirmed"},
            "52-week high 180.16 of 2025-09-24: now unconfirmed at 180.17, the close was corrected",
        ),
        ({"transition": "renamed", "metrics": {}}, "52-week high 180.16 of 2025-09-24: renamed at 180.17"),
    ],
)
def test_breakout_says_level_and_what_happened(changes: dict[str, object], text: str) -> None:
    """A breakout's line has the level with its day, and the transition in words; an unknown one keeps its name."""
    document = breakout(**changes)

    line = signal_line(document)

    assert line == f"2025-09-29 14:03:12.005Z  XNYS:BABA   {document['transition']:<11}  {text}"


@pytest.mark.parametrize("name", ["breakout-signal", "proximity-signal", "momentum-signal"])
@pytest.mark.parametrize("index", [0, 1])
def test_every_kind_of_signal_has_one_line(name: str, index: int) -> None:
    """Each example of each schema reads as one line without the words None or null."""
    line = signal_line(example(name, index))

    assert "\n" not in line
    assert "None" not in line
    assert "null" not in line


@pytest.mark.parametrize("final", [False, True])
def test_enriched_signal_names_the_best_article_and_the_tags(final: bool) -> None:
    """News is told with its number, the first headline and all tags."""
    document = {
        "signal": breakout(),
        "status": "final" if final else "open",
        "articles": [{"title": "Alibaba climbs"}, {"title": "Another"}],
        "article_count": 2,
        "tags": ["Alibaba", "AI Models"],
    }

    line = signal_line(document)

    ending = "; final" if final else ""
    assert line.endswith(
        f'news         52-week high of 2025-09-29: 2 articles, first "Alibaba climbs" [Alibaba, AI Models]{ending}'
    )
    assert family_of(document) == "high_52w"


@pytest.mark.parametrize(("status", "words"), [("open", "no news yet"), ("final", "no news explains it")])
def test_enriched_signal_without_news_says_so(status: str, words: str) -> None:
    """A breakout without a catalyst is news of its own."""
    assert signal_line({"signal": breakout(), "status": status, "articles": [], "article_count": 0}).endswith(words)
