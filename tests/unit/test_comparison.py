"""Two sequences compared record by record: every kind of difference is told, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.audit import comparison
from streams.audit.comparison import Counts, Mark, OrderedComparison
from streams.audit.copies import FanoutComparison
from streams.audit.marks import digest, letter_mark, signal_mark
from streams.audit.revisions import RevisionComparison


def mark(name: str, content: str = "") -> Mark:
    content = content or name
    return Mark(name, content.encode(), content.encode(), f"{name}={content}")


def compared(
    expected: Sequence[str], found: Sequence[str], *, from_beginning: bool = True, optional: Sequence[str] = ()
) -> Counts:
    """Compare names; a name with a colon has another content than the name before the colon."""
    both = OrderedComparison("topic/0", from_beginning=from_beginning)
    for name in expected:
        both.expect(mark(name))
    for name in found:
        both.find(mark(name.partition(":")[0], name))
    for name in optional:
        both.expect(mark(name), required=False)
    return both.finish().counts


def test_equal_sequences_are_well() -> None:
    """Nothing is told of what is as it should be."""
    assert compared("abc", "abc") == Counts(expected=3, found=3)
    assert compared("abc", "abc").is_well


@pytest.mark.parametrize(
    ("expected", "found", "kind", "count"),
    [
        ("abc", "ac", "lost", 1),
        ("abc", "ab", "lost", 1),
        ("abc", "", "lost", 3),
        ("abc", "abbc", "doubled", 1),
        ("abc", "abca", "doubled", 1),
        ("abc", "acb", "out_of_order", 1),
        ("abcde", "bcdea", "out_of_order", 1),
        ("abc", ["a", "b:changed", "c"], "different", 1),
        ("abc", "abxc", "unexpected", 1),
        ("abc", "xabc", "unexpected", 1),
    ],
)
def test_each_kind_of_difference_is_told_as_such(
    expected: Sequence[str], found: Sequence[str], kind: str, count: int
) -> None:
    """One thing wrong is one difference of its kind."""
    counts = compared(expected, found)

    assert counts == Counts(expected=len(expected), found=len(found), **{kind: count})


def test_record_with_a_damaged_name_is_one_difference() -> None:
    """A lost and an unexpected record of one content are the same record under another name."""
    both = OrderedComparison("topic/0")
    both.expect(mark("a", "content"))
    both.find(mark("b", "content"))

    assert both.finish().counts == Counts(expected=1, found=1, different=1)


def test_what_is_past_the_committed_position_may_be_there_without_a_gap() -> None:
    """A running worker has written a beginning of what follows, or nothing."""
    assert compared("ab", "ab", optional="cd").is_well
    assert compared("ab", "abc", optional="cd") == Counts(expected=2, found=3, ahead=1)
    assert compared("ab", "abd", optional="cd") == Counts(expected=2, found=3, ahead=1, lost=1)
    assert compared("ab", "abb", optional="cd").doubled == 1


@pytest.mark.parametrize(
    ("found", "oldest_ns", "counts"),
    [
        ("cd", 25, Counts(expected=4, found=2, before=2)),
        ("cd", 15, Counts(expected=4, found=2, before=1, lost=1)),
        ("cd", 0, Counts(expected=4, found=2, lost=2)),
        ("c", 100, Counts(expected=4, found=1, before=2, lost=1)),
        ("bd", 25, Counts(expected=4, found=2, before=1, lost=1)),
        ("", 30, Counts(expected=4, before=3, lost=1)),
    ],
)
def test_output_that_retention_may_have_removed_is_not_lost(found: str, oldest_ns: int, counts: Counts) -> None:
    """It comes before all that is left, of an input that is no younger; whatever else is missing is lost."""
    both = OrderedComparison("topic/0", is_cut=True, oldest_ns=oldest_ns)
    for name, appended_ns in zip("abcd", (10, 20, 30, 40), strict=True):
        both.expect(mark(name), appended_ns=appended_ns)
    for name in found:
        both.find(mark(name))

    assert both.is_waiting == (counts.lost > 0)
    assert both.finish().counts == counts


@pytest.mark.parametrize(
    ("found", "oldest_ns", "counts"),
    [
        ((), 20, Counts(expected=1, before=1)),
        ((), 19, Counts(expected=1, lost=1)),
        ((1,), 20, Counts(expected=1, found=1, lost=1)),
    ],
)
def test_enriched_signal_that_retention_may_have_removed_is_not_lost(
    found: tuple[int, ...], oldest_ns: int, counts: Counts
) -> None:
    """Its last revision comes of an input that is no younger than what is left, and no earlier one is there."""
    both = RevisionComparison("topic/0", is_cut=True, oldest_ns=oldest_ns)
    for revision, appended_ns in ((1, 10), (2, 20)):
        both.expect("s", revision, mark(f"s{revision}"), appended_ns=appended_ns)
    for revision in found:
        both.find("s", revision, mark(f"s{revision}"))

    assert both.is_waiting == (counts.lost > 0)
    assert both.finish().counts == counts


def test_what_precedes_the_start_is_not_judged() -> None:
    """A comparison that begins in the middle passes over what is older; what is odd later is told."""
    assert compared("cd", "abcd", from_beginning=False) == Counts(expected=2, found=4, before=2)
    assert compared("cd", "abcxd", from_beginning=False).unexpected == 1


def test_memory_is_bounded_by_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits too long is told as lost or unexpected, and what comes after it is judged all the same."""
    monkeypatch.setattr(comparison, "UNMATCHED_MAX", 10)
    names = [str(number) for number in range(100)]
    foreign = [f"x{number}" for number in range(100)]

    counts = compared(names, [*foreign, *names[-10:]])

    assert (counts.lost, counts.unexpected) == (90, 100)


@given(st.integers(1, 60), st.integers(0, 2**32), st.data())
def test_every_edit_is_noticed(length: int, seed: int, data: st.DataObject) -> None:
    """However the two sides are read in turns, one edit is noticed and no edit is none."""
    random = Random(seed)
    names = [str(number) for number in range(length)]
    at = data.draw(st.integers(0, length - 1))
    edit = data.draw(st.sampled_from(["none", "lost", "doubled", "different", "unexpected"]))
    found = {
        "none": names,
        "lost": names[:at] + names[at + 1 :],
        "doubled": [*names[:at], names[at], *names[at:]],
        "different": [*names[:at], f"{names[at]}:changed", *names[at + 1 :]],
        "unexpected": [*names[:at], "foreign", *names[at:]],
    }[edit]
    both = OrderedComparison("topic/0")
    left, right = list(names), list(found)
    while left or right:
        if left and (not right or random.random() < 0.5):
            both.expect(mark(left.pop(0)))
        elif right:
            name = right.pop(0)
            both.find(mark(name.partition(":")[0], name))

    counts = both.finish().counts

    assert counts.is_well == (edit == "none")
    assert edit == "none" or getattr(counts, edit) == 1


def revisions(
    expected: Sequence[int], found: Sequence[int], *, optional: Sequence[int] = (), wrong: Sequence[int] = ()
) -> Counts:
    both = RevisionComparison("topic/0")
    for revision in expected:
        both.expect("s", revision, mark(f"s{revision}"))
    for revision in found:
        both.find("s", revision, mark(f"s{revision}", "wrong" if revision in wrong else ""))
    for revision in optional:
        both.expect("s", revision, mark(f"s{revision}"), required=False)
    return both.finish().counts


def test_only_the_last_revision_must_be_there() -> None:
    """How many revisions were sent on the way is not judged."""
    assert revisions([1, 2, 3], [3]).is_well
    assert revisions([3], [1, 2, 3]) == Counts(expected=1, found=3)
    assert revisions([1, 2, 3], [1, 2]) == Counts(expected=1, found=2, lost=1)
    assert revisions([1], [2]).different == 1


def test_revisions_must_rise() -> None:
    """An equal revision is a double, a smaller one is out of order."""
    assert revisions([2], [1, 1, 2]).doubled == 1
    assert revisions([2], [2, 1]).out_of_order == 1


def test_revision_of_a_running_worker_may_be_ahead() -> None:
    """A revision past the last expected one is legal where the log goes on to it, past the committed position."""
    assert revisions([1], [1, 2], optional=[2]) == Counts(expected=1, found=2, ahead=1)
    assert revisions([1], [1], optional=[2]) == Counts(expected=1, found=1)
    # A signal opened past the committed position: the worker had read less news by then than the rerun.
    assert revisions([], [1], optional=[2]) == Counts(found=1, ahead=1)


def test_revision_that_the_log_does_not_give_is_no_revision_ahead() -> None:
    """Past the committed position, too, every revision that is there follows from the log to the byte."""
    assert revisions([1], [1, 2]) == Counts(expected=1, found=2, different=1)
    assert revisions([1], [1, 41], optional=[2]) == Counts(expected=1, found=2, different=1)
    assert revisions([1], [1, 3], optional=[2, 4]) == Counts(expected=1, found=2, different=1)
    assert revisions([1], [1, 2], optional=[2], wrong=[2]) == Counts(expected=1, found=2, ahead=1, different=1)
    assert revisions([1], [1, 2, 3], optional=[2, 3], wrong=[2]) == Counts(expected=1, found=3, ahead=1, different=1)
    assert revisions([2], [2, 9]).different == 1


def test_equal_revisions_with_unequal_bytes_are_different() -> None:
    """A revision that both sides have is the same to the byte."""
    both = RevisionComparison("topic/0")
    both.expect("s", 1, mark("s1"))
    both.find("s", 1, mark("s1", "changed"))

    assert both.finish().counts == Counts(expected=1, found=1, different=1)


def test_copies_of_several_sources_may_interleave() -> None:
    """Each source's copies come in its order; equal copies of two articles are two copies."""
    both = FanoutComparison("news/0")
    for source, name in ((0, "a"), (0, "b"), (0, "a"), (1, "x"), (1, "y")):
        both.expect(source, mark(name))
    for name in "xaybaa":
        both.find(mark(name))

    assert both.finish().counts == Counts(expected=5, found=6, doubled=1)


def test_trace_headers_are_not_compared_and_all_others_are() -> None:
    """Who was looking is not what was said."""
    headers = [("ce_id", b"1"), ("traceparent", b"a"), ("X-B3-TraceId", b"b")]

    assert digest(b"k", b"v", headers) == digest(b"k", b"v", [("ce_id", b"1"), ("traceparent", b"other")])
    assert digest(b"k", b"v", headers) != digest(b"k", b"v", [("ce_id", b"2")])
    assert digest(b"k", b"v", []) != digest(b"kv", b"", [])
    assert digest(None, b"v", []) != digest(b"", b"v", [])


def test_records_are_named_by_what_they_are_about() -> None:
    """A signal is named by its event id, a letter by the offset that it is about."""
    assert signal_mark(b"XNYS:A", b"{}", [("ce_id", b"7")], "offset 1").name == "7"
    headers = [("dlq.topic", b"forged"), ("dlq.topic", b"t"), ("dlq.partition", b"0"), ("dlq.offset", b"9")]
    assert letter_mark(None, b"{", headers, "offset 1").name == "t/0/9"
    assert letter_mark(None, b"{", [], "offset 1").name == ""


@pytest.mark.parametrize(("oldest_ns", "before", "lost"), [(0, 0, 3), (10, 1, 2), (25, 2, 1), (40, 3, 0)])
def test_only_a_copy_that_is_older_than_what_is_left_can_have_been_removed(
    oldest_ns: int, before: int, lost: int
) -> None:
    """A copy is appended after its article: what is younger than the oldest record was never there, match or none."""
    both = FanoutComparison("news/0")
    both.oldest_ns = oldest_ns
    for source, name, appended_ns in ((0, "a", 10), (0, "b", 20), (0, "c", 30), (1, "x", 30)):
        both.expect(source, mark(name), appended_ns=appended_ns)
    both.find(mark("x"))

    assert both.finish().counts == Counts(expected=4, found=1, before=before, lost=lost)


def test_enriched_signal_that_nothing_explains_can_only_lie_before_the_start() -> None:
    """After the first revision that was expected, and from the beginning, it is unexpected."""

    def judged(order: str, *, from_beginning: bool) -> Counts:
        both = RevisionComparison("topic/0", from_beginning=from_beginning)
        both.expect("s", 4, mark("s4"))
        for name in order:
            both.find(name, 4 if name == "s" else 1, mark("s4" if name == "s" else name))
        return both.finish().counts

    assert judged("us", from_beginning=False) == Counts(expected=1, found=2, before=1)
    assert judged("su", from_beginning=False) == Counts(expected=1, found=2, unexpected=1)
    assert judged("usv", from_beginning=False) == Counts(expected=1, found=3, before=1, unexpected=1)
    assert judged("us", from_beginning=True) == Counts(expected=1, found=2, unexpected=1)


def test_later_revision_of_a_signal_from_before_the_start_is_unexpected() -> None:
    """The rerun knows such a signal from the snapshot that it began at, and gives whatever comes of it later."""
    both = RevisionComparison("topic/0", from_beginning=False)
    both.expect("s", 4, mark("s4"))
    for name, revision in (("u", 1), ("s", 4), ("u", 2)):
        both.find(name, revision, mark(f"{name}{revision}"))

    assert both.finish().counts == Counts(expected=1, found=3, unexpected=1)


def test_copies_of_articles_that_retention_removed_lie_before_the_start() -> None:
    """They come before the first copy that their source is expected to have; what comes after it is unexpected."""
    both = FanoutComparison("news/0")
    both.removed_sources.add(1)
    for source, name in ((0, "a"), (1, "x"), (1, "y")):
        both.expect(source, mark(name))

    for name in ("v", "a", "w", "x", "made up", "y"):
        both.find(mark(name))

    assert both.finish().counts == Counts(expected=3, found=6, before=2, unexpected=1)
