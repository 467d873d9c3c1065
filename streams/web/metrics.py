"""The worker's metrics, one object per process, named by what happened.

Counters count, gauges say how things stand; durations are seconds, sizes are records or bytes. No label carries an
instrument: their number has no bound, and what concerns one instrument is on the topics. Everything is registered when
the object is made, in the registry that is handed in: a scrape of a worker that has just started shows every metric,
and two workers in one test do not meet.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, get_args

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from streams.core.join import COUNTERS as JOIN_COUNTERS
from streams.core.layout import FAMILY_NAMES, WINDOW_NAMES
from streams.core.sessions import Markets
from streams.wire.snapshot_records import Reason

# A step over a full fetch of 4 MiB takes some milliseconds; the first ones of a batch of three ticks some microseconds.
STEP_SECONDS: Final = (1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0)
# From the broker's stamp on a tick to the acknowledgement of its signal: milliseconds live, minutes when catching up.
SIGNAL_SECONDS: Final = (1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
COMMIT_SECONDS: Final = (1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RESTORE_SECONDS: Final = (1e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCH_RECORDS: Final = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)

RESTART_REASONS: Final = ("fenced", "in_doubt", "records_missing", "refused")
"""Why a partition may begin again."""

# One counter for each running total of the engine; the names are the engine's own.
ENGINE_COUNTERS: Final[Mapping[str, str]] = {
    "ticks": "Ticks folded.",
    "ticks_out_of_session": "Ticks outside regular hours; they touched no state of regular hours.",
    "ticks_extended": "Ticks within extended hours, regular ones among them, where those are watched.",
    "ticks_late": "Ticks of a session that was already closed; they touched no state.",
    "ticks_ineligible": "Ticks whose sale conditions set neither high nor low.",
    "ticks_late_amended": "Late ticks that amended the bar of a session that was over.",
    "ticks_duplicate": "Ticks that were delivered before, known by their trade id.",
    "cancels": "Trades that were taken back.",
    "corrections": "Trades that were replaced by what they should have been.",
    "cancels_unknown": "Cancels and corrections of trades that were never seen; they changed nothing.",
    "cancels_duplicate": "Cancels and corrections that were delivered before; they changed nothing.",
    "cancels_late": "Cancels past their horizon; the session's extreme is in doubt until a bar restates it.",
    "statuses": "Status records folded.",
    "actions": "Corporate actions folded, withdrawals among them.",
    "actions_unknown": "Withdrawals of actions that are not known.",
    "instruments": "Instrument records folded.",
    "accepts": "Records that accept an opening gap.",
    "session_changes": "Sessions that were cancelled or shortened during the day.",
    "restated_after_verdict": "Bars and actions after a verdict they might have changed; it was not rewritten.",
    "splits_suspected": "Sessions whose first trade looked like a split that nobody announced.",
    "splits_released": "Suspected splits that were none.",
    "splits_discarded": "Suspected splits that an action explained.",
    "withheld_lost": "Transitions of suspected instruments past what is kept; they were not sent.",
    "prints_held": "Trades that were not believed at once.",
    "prints_believed": "Held trades that were confirmed.",
    "prints_rejected": "Held trades that were not.",
    "bars": "Daily bars folded.",
    "bars_too_old": "Daily bars older than the ring of bars reaches; they were ignored.",
    "clocks": "Clock records folded.",
    "clocks_backward": "Clock records older than the newest one; they changed nothing.",
}


class Metrics:
    """Everything that a worker counts and measures.

    The shell calls a method a batch or a state change, never one a tick. Each costs a few microseconds.
    """

    def __init__(self, registry: CollectorRegistry, *, version: str) -> None:
        # The time at which each series was made would double their number, and nobody reads it.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # published without types
        ProcessCollector(registry=registry)
        self._registry = registry
        self._totals: dict[int, dict[str, int]] = {}
        self._windows: dict[int, Mapping[str, int]] = {}
        self._breakouts: dict[int, Mapping[str, int]] = {}

        build = self._gauge(
            "build_info", "Version of the program and of Python; the value is always 1.", "version", "python"
        )
        build.labels(version, platform.python_version()).set(1)

        self._consumed = self._counter("records_consumed", "Records read.", "topic")
        self._produced = self._counter("records_produced", "Records written and acknowledged.", "topic")
        self._rejected = self._counter(
            "records_rejected", "Records put aside on the dead-letter topic.", "topic", "reason"
        )
        self._nulls = self._counter("records_null", "Records without a value, which are skipped.", "topic")
        self._misrouted = self._counter(
            "keys_misrouted",
            "Records whose key belongs into another partition: their producer does not hash with murmur2.",
            "topic",
        )
        self._lost = self._counter("offsets_lost", "Offsets of inputs that retention removed unread.", "topic")
        self._signals = self._counter(
            "signals", "Transitions of signals written and acknowledged.", "family", "scope", "transition"
        )
        self._engine = {name: self._counter(name, text) for name, text in ENGINE_COUNTERS.items()}
        self._join = self._counter("join_events", "What the join of signals and articles did.", "event")

        self._lag_records = self._gauge(
            "lag_records", "Records in the log that have not been read yet.", "topic", "partition"
        )
        self._lag_seconds = self._gauge(
            "lag_seconds",
            "Age of the newest record read while more wait, by the broker's stamp; 0 at the end of the log.",
            "topic",
            "partition",
        )
        self._partitions = self._gauge("partitions", "Assigned partitions: live, or replaying their log.", "state")
        self._open_breakouts = self._gauge(
            "open_breakouts", "Breakouts that have neither failed nor had their verdict.", "family"
        )
        self._window_counts = self._gauge("windows", "Instruments by the coverage of their 52-week window.", "coverage")
        self._market_open = self._gauge(
            "market_open", "1 while the market's regular session is running, by this machine's clock.", "market"
        )

        self._batch_records = self._histogram("batch_records", "Records in a batch.", BATCH_RECORDS)
        self._step_seconds = self._histogram("step_seconds", "Time to decode and fold a batch.", STEP_SECONDS)
        self._signal_seconds = self._histogram(
            "tick_to_signal_seconds",
            "Time from the broker's stamp on a tick to the acknowledgement of its signal.",
            SIGNAL_SECONDS,
        )
        self._commit_seconds = self._histogram(
            "commit_seconds", "Time to commit outputs and positions.", COMMIT_SECONDS
        )
        self._transactions = self._counter("commits", "Commits of outputs, state and positions that ended well.")
        self._restarts = self._counter(
            "partition_restarts", "Partitions that dropped their state and began again, by reason.", "reason"
        )
        self._restore_seconds = self._histogram(
            "restore_seconds", "Time to read a partition's snapshot and build its state.", RESTORE_SECONDS
        )
        self._snapshot_seconds = self._histogram(
            "snapshot_seconds", "Time that the worker stood still for a snapshot.", STEP_SECONDS
        )
        self._snapshot_bytes = self._counter("snapshot_bytes", "Bytes of snapshots written and acknowledged.")
        self._snapshots_refused = self._counter(
            "snapshots_refused", "Snapshots that were not believed at a start, by reason.", "reason"
        )
        self._waiting = self._gauge(
            "waiting", "Partitions, and the worker itself, that wait for the brokers; /health/ready says for what."
        )
        self._snapshot_age = self._gauge(
            "snapshot_age_seconds", "Time since a partition's last snapshot was committed.", "partition"
        )
        self._show_zeros()

    def topics_known(self, *, inputs: Iterable[str], outputs: Iterable[str]) -> None:
        """Show the topics with zeros: a series that appears with its first event hides that event from `rate`."""
        for topic in inputs:
            for counter in (self._consumed, self._nulls, self._misrouted, self._lost):
                counter.labels(topic)
        for topic in outputs:
            self._produced.labels(topic)

    def records_consumed(self, topic: str, count: int) -> None:
        """Count records read from an input topic."""
        self._consumed.labels(topic).inc(count)

    def records_produced(self, topic: str, count: int) -> None:
        """Count records written to an output topic, once they are acknowledged."""
        self._produced.labels(topic).inc(count)

    def record_rejected(self, topic: str, reason: str, count: int = 1) -> None:
        """Count records of an input topic that went to its dead-letter topic."""
        self._rejected.labels(topic, reason).inc(count)

    def nulls_skipped(self, topic: str, count: int) -> None:
        """Count records without a value."""
        self._nulls.labels(topic).inc(count)

    def keys_misrouted(self, topic: str, count: int = 1) -> None:
        """Count records whose key does not hash to the partition they are in."""
        self._misrouted.labels(topic).inc(count)

    def offsets_lost(self, topic: str, count: int) -> None:
        """Count offsets that retention removed before they were read, found at a start."""
        self._lost.labels(topic).inc(count)

    def signals_produced(self, family: str, scope: str, transition: str, *, count: int = 1) -> None:
        """Count transitions of signals, once they are acknowledged."""
        self._signals.labels(family, scope, transition).inc(count)

    def lag_measured(self, topic: str, partition: int, *, records: int, seconds: float) -> None:
        """Note how far behind the end of its log a partition is."""
        self._lag_records.labels(topic, partition).set(records)
        self._lag_seconds.labels(topic, partition).set(seconds)

    def batch_folded(self, records: int, seconds: float) -> None:
        """Note the size of a batch and the time that decoding and folding it took."""
        self._batch_records.observe(records)
        self._step_seconds.observe(seconds)

    def signal_acknowledged(self, seconds: float) -> None:
        """Note the time from the broker's stamp on a tick to the acknowledgement of a signal it caused."""
        self._signal_seconds.observe(seconds)

    def commit_finished(self, seconds: float) -> None:
        """Note the time that a commit took."""
        self._commit_seconds.observe(seconds)
        self._transactions.inc()

    def partition_restarted(self, reason: str) -> None:
        """Count a partition that drops its state and begins again."""
        self._restarts.labels(reason).inc()

    def partition_restored(self, seconds: float) -> None:
        """Note the time that reading and building a partition's state took, replay not included."""
        self._restore_seconds.observe(seconds)

    def waiting_counted(self, count: int) -> None:
        """Note how many partitions, or the worker itself, wait for the brokers."""
        self._waiting.set(count)

    def snapshot_taken(self, seconds: float) -> None:
        """Note how long nothing was read because of a snapshot."""
        self._snapshot_seconds.observe(seconds)

    def snapshot_written(self, partition: int, size: int) -> None:
        """Count a snapshot that is in the topic, and begin its age."""
        self._snapshot_bytes.inc(size)
        written = time.monotonic()
        self._snapshot_age.labels(str(partition)).set_function(lambda: time.monotonic() - written)

    def snapshot_refused(self, reason: str) -> None:
        """Count a snapshot that was not believed."""
        self._snapshots_refused.labels(reason).inc()

    def engine_restored(self, partition: int, totals: Mapping[str, int]) -> None:
        """Note the running totals that a partition starts from: they were counted before."""
        self._totals[partition] = dict(totals)

    def engine_counted(self, partition: int, totals: Mapping[str, int]) -> None:
        """Take over a partition's running totals, the engine's and the join's. Call it about once a second."""
        seen = self._totals.setdefault(partition, {})
        for name, total in totals.items():
            # A total that went back belongs to a state that was built again from nothing.
            growth = total - seen.get(name, 0) if total >= seen.get(name, 0) else total
            if growth:
                counter = self._engine[name] if name in self._engine else self._join.labels(name)
                counter.inc(growth)
            seen[name] = total

    def engine_measured(self, partition: int, *, windows: Mapping[str, int], open_breakouts: Mapping[str, int]) -> None:
        """Note how a partition's instruments stand. Call it about once a second: it looks at every row."""
        self._windows[partition] = windows
        self._breakouts[partition] = open_breakouts
        self._sum_up()

    def partition_revoked(self, partition: int, topics: Iterable[str] = ()) -> None:
        """Forget a partition that another worker has now, and its lag on these topics."""
        self._totals.pop(partition, None)
        self._windows.pop(partition, None)
        self._breakouts.pop(partition, None)
        for topic in topics:
            self._lag_records.remove(topic, str(partition))
            self._lag_seconds.remove(topic, str(partition))
        with suppress(KeyError):
            self._snapshot_age.remove(str(partition))
        self._sum_up()

    def partitions_counted(self, *, live: int, replaying: int) -> None:
        """Note how many assigned partitions are live and how many still replay."""
        self._partitions.labels("live").set(live)
        self._partitions.labels("replaying").set(replaying)

    def watch_markets(self, markets: Markets, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Say at each scrape which markets are open, so that an alert can tell silence from a holiday."""
        for mic in markets.mics:
            self._market_open.labels(mic).set_function(partial(_openness, markets, mic, now_ns))

    def _sum_up(self) -> None:
        for name in WINDOW_NAMES:
            self._window_counts.labels(name).set(sum(counts.get(name, 0) for counts in self._windows.values()))
        for name in FAMILY_NAMES[:2]:
            self._open_breakouts.labels(name).set(sum(counts.get(name, 0) for counts in self._breakouts.values()))

    def _show_zeros(self) -> None:
        self._sum_up()
        self.partitions_counted(live=0, replaying=0)
        for event in JOIN_COUNTERS:
            self._join.labels(event)
        for reason in RESTART_REASONS:
            self._restarts.labels(reason)
        for refusal in get_args(Reason):
            self._snapshots_refused.labels(refusal)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fiftytwo_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"fiftytwo_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> Histogram:
        return Histogram(f"fiftytwo_{name}", text, registry=self._registry, buckets=tuple(buckets))


def is_open(markets: Markets, mic: str, time_ns: int) -> bool:
    """Return whether a market's regular session is running: open <= t < close, outside the lunch break."""
    session = markets.session_at(mic, time_ns)
    if session is None or time_ns >= session["close_ns"]:
        return False
    return not np.logical_and(session["break_start_ns"] <= time_ns, time_ns < session["break_end_ns"])


def _openness(markets: Markets, mic: str, now_ns: Callable[[], int]) -> float:
    return float(is_open(markets, mic, now_ns()))
