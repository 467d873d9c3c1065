"""Copies of articles against what they come from: the verdict does not depend on which side was read first."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import pytest

from streams.audit import copies as copies_module
from streams.audit.comparison import Counts, Findings, Mark
from streams.audit.copies import SKEW_NS, FanoutComparison
from streams.core.units import NS

Copy = tuple[int, str]
"""Source and name."""

SOURCES = 3
COPIES = 40


def mark(name: str) -> Mark:
    """Return a copy whose content is its name."""
    return Mark(name, name.encode(), name.encode(), name)


def story(random: Random) -> list[Copy]:
    """Return copies of several sources in the order in which they come; some articles were published twice."""
    names = [f"{number if random.random() < 0.9 else number // 2}" for number in range(COPIES)]
    return [(source, f"{source}-{name}") for name in names for source in random.sample(range(SOURCES), 2)]


def judged(expected: Sequence[Copy], found: Sequence[str], random: Random | None, *, torn: bool = False) -> Findings:
    """Compare, and return the findings.

    Args:
        expected: What must be there.
        found: What is there.
        random: Decides which side is read next; all that is expected comes first where there is none.
        torn: Whether the comparison is written down and read again after each step.
    """
    both = FanoutComparison("news/0")
    left, there = list(expected), list(found)
    while left or there:
        if left and (random is None or not there or random.random() < 0.5):
            source, name = left.pop(0)
            both.expect(source, mark(name))
        else:
            both.find(mark(there.pop(0)))
        if torn:
            both = msgspec.msgpack.decode(msgspec.msgpack.encode(both), type=FanoutComparison)
    return both.finish()


def damaged(names: list[str], random: Random) -> list[str]:
    """Return copies with one left out, one written twice, one made up and two in the wrong order."""
    found = list(names)
    del found[random.randrange(len(found))]
    at = random.randrange(len(found))
    found.insert(at, found[at])
    found.insert(random.randrange(len(found)), "made up")
    at = random.randrange(len(found) - 1)
    found[at], found[at + 1] = found[at + 1], found[at]
    return found


@pytest.mark.parametrize("seed", range(30))
def test_order_of_reading_changes_no_verdict(seed: int) -> None:
    """Whatever waits on either side finds its partner, and what has none is judged at the end."""
    random = Random(seed)
    expected = story(random)
    found = [name for _, name in expected]

    assert judged(expected, found, random).counts == Counts(expected=2 * COPIES, found=2 * COPIES)
    changed = damaged(found, random)
    first = judged(expected, changed, None)
    assert not first.counts.is_well
    for _ in range(5):
        assert judged(expected, changed, random).counts == first.counts


@pytest.mark.parametrize("seed", range(5))
def test_comparison_goes_on_from_what_was_written_down(seed: int) -> None:
    """A verification that is resumed in the middle of it says what one that never stopped says."""
    expected = story(Random(seed))
    changed = damaged([name for _, name in expected], Random(seed))

    assert judged(expected, changed, Random(seed), torn=True) == judged(expected, changed, Random(seed))


def test_what_has_found_its_partner_does_not_wait() -> None:
    """Memory grows with what is apart, not with the log."""
    both = FanoutComparison("news/0")
    for number in range(10_000):
        both.expect(number % SOURCES, mark(str(number)))
        if number % 2:
            both.find(mark(str(number - 1)))
            both.find(mark(str(number)))

        assert len(both.expected) <= 2
        assert both.early_count == 0

    assert not both.is_waiting
    assert both.finish().counts == Counts(expected=10_000, found=10_000)


def test_copy_that_comes_again_before_its_article_is_read_is_doubled() -> None:
    """Once expected and twice there is once too often, whichever side was read first."""
    both = FanoutComparison("news/0")
    both.find(mark("a"))
    both.find(mark("a"))
    both.expect(0, mark("a"))

    assert both.finish().counts == Counts(expected=1, found=2, doubled=1)


def test_equal_copies_of_removed_articles_are_not_judged() -> None:
    """An article may be published twice; that its copies are equal does not make one of them one too many."""
    both = FanoutComparison("news/0")
    both.removed_sources.add(0)
    for name in ("gone", "gone", "a"):
        both.find(mark(name))
    both.expect(0, mark("a"))

    assert both.finish().counts == Counts(expected=1, found=3, before=2)


def test_copies_of_removed_articles_leave_room_for_those_that_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many articles retention has removed, the copies of the others are read side by side with them."""
    monkeypatch.setattr(copies_module, "UNMATCHED_MAX", 100)
    removed, left = 1_000, 500
    both = FanoutComparison("news/0")
    both.removed_sources.add(0)
    there = iter(range(removed + left))
    waiting = 0

    for number in range(removed, removed + left):
        both.expect(0, mark(str(number)), appended_ns=number * NS)
        if both.is_full:
            both.forget_removed(number * NS)
        while both.wants_found:
            found = next(there)
            both.find(mark(str(found)), appended_ns=found * NS)
            if both.is_full:
                both.forget_removed(number * NS)
        waiting = max(waiting, len(both.expected))
    for found in there:
        both.find(mark(str(found)), appended_ns=found * NS)

    assert waiting <= SKEW_NS // NS + 2
    assert both.finish().counts == Counts(expected=left, found=removed + left, before=removed)


def test_only_copies_that_nothing_can_explain_any_more_are_forgotten() -> None:
    """An article that is still to be read may explain a copy, and what stands after explained ones is a difference."""
    both = FanoutComparison("news/0")
    both.removed_sources.add(0)
    for name, seconds in (("gone", 10), ("a", 100), ("made up", 110), ("late", 200)):
        both.find(mark(name), appended_ns=seconds * NS)
    both.expect(0, mark("a"), appended_ns=99 * NS)

    both.forget_removed(180 * NS)
    assert sorted(both.early) == [b"late", b"made up"]
    both.expect(0, mark("late"), appended_ns=199 * NS)

    assert both.finish().counts == Counts(expected=2, found=4, before=1, unexpected=1)
