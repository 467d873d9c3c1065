"""The referee: a naive second implementation of the signals, in ordinary Python, that shares no code with the engine.

It is written from the specification, rule by rule, with exact fractions, dictionaries and lists. It keeps no bands, no
thresholds and no compiled state: whatever it needs it works out again from the bars. Where the engine and this package
disagree, one of them is wrong, and this one is short enough to read.
"""

from tests.oracle.calendar import Calendar, Session, parse_date, parse_time
from tests.oracle.fold import Oracle
from tests.oracle.rules import Rules

__all__ = ["Calendar", "Oracle", "Rules", "Session", "parse_date", "parse_time"]
