"""Dead letters carry what came in, and why it was put aside."""

from __future__ import annotations

import hashlib

from streams.kafka.dlq import MESSAGE_BYTES_MAX, DeadLetters, Reason
from streams.wire.batches import frame_values

LETTERS = DeadLetters("market.ticks.v1", "fiftytwo", 100_000)
ROOM = 100_000 + 65_536


def test_letter_carries_the_record_as_it_came_and_nine_headers() -> None:
    """Key, value and time are the record's own; every header is UTF-8 text."""
    frames = frame_values(
        [b"good", b"\xff bad"], keys=[b"a", b"b"], first_offset=41, append_ns=1_700_000_000_123_456_789
    )

    letter = LETTERS.letter(3, frames, 1, Reason("deserialize", "invalid_utf8", "expected UTF-8, found 0xff"))

    assert (letter.topic, letter.partition) == ("market.ticks.v1.dlq", 3)
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"b", b"\xff bad", 1_700_000_000_123)
    assert {name: (value or b"").decode() for name, value in letter.headers} == {
        "dlq.topic": "market.ticks.v1",
        "dlq.partition": "3",
        "dlq.offset": "42",
        "dlq.timestamp": "1700000000123",
        "dlq.consumer-group": "fiftytwo",
        "dlq.error-class": "invalid_utf8",
        "dlq.error-message": "expected UTF-8, found 0xff",
        "dlq.stage": "deserialize",
        "dlq.attempt": "1",
    }


def test_long_message_is_cut_between_characters() -> None:
    """A message keeps to its limit and stays UTF-8."""
    letter = LETTERS.letter(0, frame_values([b"x"]), 0, Reason("validate", "wrong_type", "é" * MESSAGE_BYTES_MAX))

    message = dict(letter.headers)["dlq.error-message"]
    assert message is not None
    assert MESSAGE_BYTES_MAX - 2 < len(message) <= MESSAGE_BYTES_MAX
    assert set(message.decode()) == {"é"}


def test_record_of_full_size_is_kept_whole() -> None:
    """What the input topic takes fits its dead-letter topic with its reason."""
    value = b"v" * 100_000

    letter = LETTERS.letter(0, frame_values([value], keys=[b"k" * 100]), 0, Reason("deserialize", "x", "m" * 9_999))

    assert letter.value == value
    assert "dlq.sha256" not in dict(letter.headers)


def test_record_too_large_is_stored_cut_with_its_length_and_sum() -> None:
    """A record that was compressed below the limit and is larger without still finds its place."""
    value = bytes(range(256)) * 4_000

    letter = LETTERS.letter(0, frame_values([value], keys=[b"key"]), 0, Reason("deserialize", "x", "m"))

    headers = dict(letter.headers)
    assert letter.key == b"key"
    assert letter.value is not None
    assert ROOM - 4_000 < len(letter.value) < ROOM
    assert value.startswith(letter.value)
    assert headers["dlq.length"] == b"1024000"
    assert headers["dlq.sha256"] == hashlib.sha256(value).hexdigest().encode()


def test_enormous_key_is_cut_too() -> None:
    """Nothing in a record can make its letter larger than the topic takes."""
    letter = LETTERS.letter(0, frame_values([b"v" * 9], keys=[b"k" * 1_000_000]), 0, Reason("deserialize", "x", "m"))

    assert letter.key is not None
    assert len(letter.key) + len(letter.value or b"") < ROOM
    assert dict(letter.headers)["dlq.key-length"] == b"1000000"
