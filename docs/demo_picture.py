"""Draws docs/demo.svg, the picture of the demo's screen in the README, from the demo's own screen and the engine.

Run it from the repository after a change of the screen: `.venv/bin/python docs/demo_picture.py`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import orjson
from rich.console import Console

from streams.calendars import load_markets
from streams.core.join import Join, opens_enrichment
from streams.core.processor import Processor
from streams.core.routing import copies
from streams.feeds import scenario
from streams.feeds.screen import Screen
from streams.feeds.stage import Stage
from streams.feeds.steps import Step
from streams.wire.articles import encode_enriched
from streams.wire.signals import encode

COLUMNS, ROWS = 100, 36
SOURCE = "/fiftytwo/picture"


def stage_before_tuesday() -> Stage:
    """Return the stage on Tuesday morning: Monday's session is over, and the article has been joined."""
    markets = load_markets(["XNYS"])
    days = scenario.build(markets)
    stage, processor, join = Stage(days), Processor(markets), Join()

    def fold(steps: Iterable[Step]) -> None:
        processor.records(orjson.loads(step.value) for step in steps)
        for signal in processor.signals():
            value = encode(signal, source=SOURCE).value
            stage.story.tell(orjson.loads(value))
            if opens_enrichment(family=signal.family, transition=signal.transition):
                stage.story.tell(orjson.loads(encode_enriched(join.open(signal, value), source=SOURCE).value))

    fold(days.history_steps())
    for place, chapter in enumerate(days.chapters):
        if chapter.bar.date == scenario.TUESDAY:
            break
        stage.open_chapter(place)
        fold(chapter.steps)
        for step in chapter.steps:
            stage.advance(step)
    for step in days.article_steps():
        stage.advance(step)
    for copy in copies(days.article):
        for enriched in join.article(copy):
            stage.story.tell(orjson.loads(encode_enriched(enriched, source=SOURCE).value))
    stage.act, stage.status = "night", "the article has been joined"
    return stage


def main() -> None:
    """Write the picture."""
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=COLUMNS, height=ROWS)
    console.print(Screen(stage_before_tuesday()), height=ROWS, end="")
    picture = console.export_svg(title="fiftytwo demo", unique_id="fiftytwo-demo")
    # The reader's own font will do: a picture must not load anything from elsewhere.
    picture = re.sub(r"\s*@font-face \{.*?\}\n", "\n", picture, flags=re.DOTALL).replace("Fira Code, ", "")
    Path(__file__).with_name("demo.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
