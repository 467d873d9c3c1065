"""What stays in the terminal after the demo: the breakouts, the numbers behind the news, and what was made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streams.core.units import parse_time
from streams.feeds.scenario import Chapter
from streams.feeds.story import (
    MONDAY,
    TUESDAY,
    Breakout,
    Document,
    Event,
    Story,
    against_next_level,
    day_name,
    money,
    percent,
    wall_time,
)

DIM: Final = "bright_black"
STYLES: Final = {
    "trigger": "bold yellow",
    "extreme": "green",
    "failed": "bold red",
    "confirmed": "bold green",
    "unconfirmed": "red",
    "news": "bold magenta",
    "momentum": "cyan",
    "near": "cyan",
}
HONESTY: Final = (
    "The bars are real. Within Monday 29 and Tuesday 30 September the path of trades is generated from a seed. It "
    "meets the real open, high, low and close. The other sessions are played as just those four prices."
)


def breakout_table(story: Story) -> Table:
    """Return the breakouts of all sessions, a row each."""
    table = Table(box=SIMPLE_HEAD, border_style=DIM, header_style="bold", pad_edge=False)
    table.add_column("session", no_wrap=True)
    table.add_column("level", justify="right", style="yellow", no_wrap=True)
    table.add_column("set on", no_wrap=True)
    table.add_column("broken at", no_wrap=True)
    table.add_column("close", justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for breakout in sorted(story.breakouts.values(), key=lambda entry: str(entry.triggered["session_date"])):
        first, last = breakout.triggered, breakout.latest
        table.add_row(
            day_name(first["session_date"]),
            money(first["level"]["price"]),
            day_name(first["level"]["session_date"]),
            _broken(first),
            money(last["price"]) if breakout.closed and last["price"] else "",
            Text(breakout.outcome, "green" if breakout.outcome == "confirmed" else "red"),
        )
    return table


def summary(story: Story) -> RenderableType:
    """Return the end of the story: the table, then Monday's numbers and the news as paragraphs."""
    parts: list[RenderableType] = [
        Text("Alibaba (XNYS:BABA), breakouts of the 52-week high, 11 Sep to 2 Oct 2025", "bold"),
        breakout_table(story),
    ]
    monday, tuesday = story.of_session(MONDAY), story.of_session(TUESDAY)
    if monday is not None and monday.closed:
        parts += [Text(), *_monday(story, monday)]
    if monday is not None and tuesday is not None:
        parts += _news(monday, tuesday)
    return Group(*parts, Text(), Text(HONESTY, DIM))


def window_text(level: Document) -> str:
    """Return a level's window in words."""
    return (
        f"window of {level['lookback']}: {level['window_start']} to {level['window_end']}, "
        f"{level['sessions']} of {level['sessions_expected']} sessions ({level['window_status']}), today not included"
    )


def _broken(first: Document) -> str:
    flags = [name for name in ("gap", "fresh") if first[name]]
    return ", ".join([money(first["price"]), *flags])


def _monday(story: Story, monday: Breakout) -> list[Text]:
    last = monday.latest
    metrics, level = last["metrics"], last["level"]
    close = Text.assemble(
        ("Monday ", "bold"),
        f"closed at {money(last['price'])}: ",
        (percent(metrics["session_return"]), "bold green"),
        " on the day, ",
        (percent(metrics["ytd"]), "bold green"),
        f" this year, {metrics['nearness']:.6f} of the level in force ({money(level['price'])}). "
        f"The high of the day was {money(monday.extreme)}, but the close was not above the old high.",
    )
    lines = [close, Text(f"52-week {window_text(level)}.")]
    ratio = against_next_level(story)
    tuesday = story.of_session(TUESDAY)
    if ratio is not None and tuesday is not None:
        high = money(tuesday.triggered["level"]["price"])
        lines.append(Text(f"Against Tuesday's level, Monday's own high of {high}, that close is {ratio}."))
    return lines


def _news(monday: Breakout, tuesday: Breakout) -> list[Text]:
    enriched = monday.enriched
    if enriched is None or not enriched["articles"]:
        return []
    article = enriched["articles"][0]
    published = wall_time(parse_time(article["published_at"]))
    hours, minutes = divmod(round(article["delta_seconds"]) // 60, 60)
    first = tuesday.enriched_first
    at_once = first is not None and any(entry["article_id"] == article["article_id"] for entry in first["articles"])
    return [
        Text(),
        Text.assemble(
            ("News ", "bold"),
            (f"“{article['title']}”", "bold magenta"),
            f" ({article['source']}, {day_name(TUESDAY)} {published:%H:%M} New York)",
        ),
        Text(
            f"It was linked to Monday's signal {hours} h {minutes:02d} min after the break"
            + (", and is on Tuesday's from its first message." if at_once else ".")
        ),
        Text.assemble("Tags: ", (", ".join(enriched["tags"]), "magenta")),
    ]


def session_lines(story: Story, session: str, chapter: Chapter | None) -> list[tuple[str, str]]:
    """Return a session as lines of text with their styles, or only its news when there is no chapter.

    Args:
        story: What is known.
        session: The session's date, `2025-09-29`.
        chapter: The session; None at night, when an article has come.
    """
    events = story.events_of(session)
    if chapter is None:
        return [("", ""), *_event_lines([event for event in events if event.tone == "news"], form="%a %-d %b, %H:%M")]
    told = [event for event in events if chapter.generated or event.tone not in ("momentum", "near")]
    title = day_name(session, year=True)
    if not told:
        return [("", ""), (f"{title}: no breakout", "")]
    path = " (path within the day generated)" if chapter.generated else ""
    return [("", ""), (f"{title}{path}", "bold"), *_event_lines(told, form="%H:%M" if chapter.generated else "")]


def _event_lines(events: Sequence[Event], *, form: str) -> list[tuple[str, str]]:
    lines = []
    for event in events:
        # Of sessions that are played from their bars the times of day are made up, so they are not told.
        when = f"{wall_time(event.time_ns):{form}}  " if form else ""
        lines.append((f"  {when}{event.text}", STYLES[event.tone]))
    return lines
