"""The engine: a pure fold of ticks, bars and clocks into signals. It knows no clock, log, byte or broker.

Names are loaded when first used, because the compiled step takes a moment to load and not every command needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.core.engine import Engine, Folded
    from streams.core.processor import Processor
    from streams.core.rules import Rules
    from streams.core.sessions import Markets, Sessions
    from streams.core.signals import Signal, signals_of

__all__ = ["Engine", "Folded", "Markets", "Processor", "Rules", "Sessions", "Signal", "signals_of"]

_HOMES = {
    "Engine": "engine",
    "Folded": "engine",
    "Markets": "sessions",
    "Processor": "processor",
    "Rules": "rules",
    "Sessions": "sessions",
    "Signal": "signals",
    "signals_of": "signals",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found
