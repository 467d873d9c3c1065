"""The terms under which a partition's log is read: options, calendar, and the points of the log where they change.

A signal depends on them, so a replay has to know which held where. A partition records the terms with which it goes
live, as a snapshot without instruments in a series of its own, in the transaction of its first outputs under them.
Changed terms hold from the committed position on: what comes before was said under the old ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.core.engine import Engine
from streams.core.join import Join, JoinRules
from streams.core.lookbacks import move_lookbacks
from streams.core.rules import RULES_VERSION, Rules
from streams.core.sessions import Markets, Sessions
from streams.wire.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Terms:
    """Options and calendar.

    Attributes:
        markets: The calendar, prepared for the rules' look-back.
        rules: The engine's options.
        join_rules: The join's.
        version: The version of the rules that the program knew.
    """

    markets: Markets
    rules: Rules
    join_rules: JoinRules
    version: str = RULES_VERSION

    def is_same(self, other: Terms) -> bool:
        """Tell whether equal logs give equal signals under both."""
        mine, theirs = self.markets, other.markets
        return (
            (self.rules, self.join_rules, self.version) == (other.rules, other.join_rules, other.version)
            and (mine.mics, mine.version, mine.lookback) == (theirs.mics, theirs.version, theirs.lookback)
            and mine.session.tobytes() == theirs.session.tobytes()
        )

    def keeping(self, engine: Engine) -> Terms:
        """Return these terms with the markets of an engine's instruments that they lack, as the engine knows them.

        A market that is taken out of the configuration must not cost its instruments their history.
        """
        held = {engine.markets.mics[index] for index in np.unique(engine.instruments.market).tolist()}
        lacking = [mic for mic in engine.markets.mics if mic in held and mic not in self.markets.mics]
        if not lacking:
            return self
        sessions = [
            *(_sessions(self.markets, mic) for mic in self.markets.mics),
            *(_sessions(engine.markets, mic) for mic in lacking),
        ]
        markets = Markets(sessions, lookback=self.markets.lookback, version=self.markets.version)
        return Terms(markets, self.rules, self.join_rules, self.version)


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A point of both logs, and the terms that hold from there on; None keeps those that hold."""

    positions: Mapping[str, int]
    terms: Terms | None = None


def terms_of(snapshot: Snapshot) -> Terms:
    """Return the terms that were in force when a snapshot was written.

    Raises:
        ValueError: Its calendar does not fit its look-back.
    """
    markets = Markets(snapshot.sessions, lookback=snapshot.rules.lookback, version=snapshot.manifest.calendar)
    return Terms(markets, snapshot.rules, snapshot.join_rules, snapshot.manifest.rules_version)


def adopt(terms: Terms, engine: Engine, join: Join) -> tuple[Engine, Join]:
    """Return an engine and a join that go on from others' state under new terms. The others are not to be used again.

    Levels and machines are derived again at each instrument's next session open; what is open ends under the levels
    and the names that it began with, but signals of a look-back that is no longer configured end without a verdict.
    """
    fresh, joined = Engine(terms.markets, terms.rules), Join(terms.join_rules)
    state = engine.export()
    move_lookbacks(state, engine.rules.lookbacks, terms.rules.lookbacks)
    fresh.restore(state)
    joined.restore(join.export())
    return fresh, joined


def _sessions(markets: Markets, mic: str) -> Sessions:
    found = markets.sessions_of(mic)
    regular = ("date", "open_ns", "close_ns", "break_start_ns", "break_end_ns")
    columns = (*regular, "extended_open_ns", "extended_close_ns", "trade_date_end_ns")
    return Sessions(mic, *(found[name].copy() for name in columns))
