"""The sections `commits` and `snapshots`: when what was worked out is made final, and what is kept for a restart."""

from __future__ import annotations

from dataclasses import dataclass

from streams.config_values import Key, key


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """When outputs are committed, and when a partition is given up."""

    share_max: float = key(
        0.1,
        Key(
            "A signal is committed at once while commits took less than this share of the worker's last second; "
            "else when there is nothing to read, or `delay_ms` later.",
            minimum=0.0,
            maximum=1.0,
        ),
    )
    delay_ms: int = key(
        100, Key("Longest wait of a signal for the next commit while there is more to read.", minimum=0, maximum=10_000)
    )
    positions_ms: int = key(
        500,
        Key(
            "How often positions are committed when there are no signals: what is read twice after a crash.",
            minimum=10,
            maximum=60_000,
        ),
    )
    outputs_max: int = key(
        20_000,
        Key("Outputs of a partition that may wait for a commit before it reads no more.", minimum=1, maximum=1_000_000),
    )
    timeout_s: int = key(
        30,
        Key(
            "A transaction, or a request of one, that takes longer is in doubt, and its partition begins again. "
            "The broker ends an abandoned transaction after this time too.",
            minimum=1,
            maximum=900,
        ),
    )
    revoke_ms: int = key(
        500,
        Key(
            "How long a partition that moves to another worker may take to finish its transaction; then it is dropped.",
            minimum=0,
            maximum=10_000,
        ),
    )
    restarts_max: int = key(
        3,
        Key(
            "A partition that begins again so many times within `restarts_minutes`, through all its assignments, ends "
            "the worker. Brokers that are slow or away do not count.",
            minimum=1,
            maximum=1_000,
        ),
    )
    restarts_minutes: int = key(10, Key("See `restarts_max`.", minimum=1, maximum=1_440))


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """When a partition's state is written to the state topic."""

    interval_s: float = key(
        10.0,
        Key(
            "Seconds between two snapshots of a partition: what a restart reads again.", minimum=0.01, maximum=86_400.0
        ),
    )
    records: int = key(
        30_000_000,
        Key("A snapshot is due earlier after so many records of its partition.", minimum=1_000, maximum=10_000_000_000),
    )
    share_max: float = key(
        0.05, Key("Largest share of the worker's time that snapshots may take.", minimum=0.001, maximum=1.0)
    )
    base: bool = key(
        True,
        Key(
            "Keep a whole snapshot a day for as long as the ticks that follow it, "
            "so that `fiftytwo verify` can begin there."
        ),
    )
