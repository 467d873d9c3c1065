"""Responses are received into memory of their own, whole and in order, however the socket cuts them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v4
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kafka.receiving import (
    SIZE,
    STAGING_BYTES,
    STRING_BYTES_MAX,
    FrameProtocol,
    FrameReader,
    open_connection,
    receive_in_place,
)

API_VERSIONS = ApiVersionRequest.API_KEY
RECORDS = Random(5).randbytes(3 * STAGING_BYTES)


class Ended:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(exc)

    def eof_received(self) -> bool | None:
        self.told.append("eof")
        return None

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


def feed(protocol: FrameProtocol, data: bytes, cuts: Iterator[int]) -> None:
    """Give bytes as a socket would: never more than there is room for."""
    while data:
        room = protocol.get_buffer(-1)
        size = min(len(room), len(data), next(cuts))
        room[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def repeated(values: list[int]) -> Iterator[int]:
    """Yield values for ever."""
    while True:
        yield from values


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(
        st.one_of(
            st.integers(0, 40),
            st.sampled_from([STAGING_BYTES - 1, STAGING_BYTES, STAGING_BYTES + 1, 2 * STAGING_BYTES + 7]),
        ),
        max_size=8,
    ),
    cuts=st.lists(st.sampled_from([1, 3, 4, 5, 1000, STAGING_BYTES, 10**6]), min_size=1, max_size=5),
)
def test_frames_come_whole_and_in_order(sizes: list[int], cuts: list[int]) -> None:
    """Any cut of the bytes gives the same frames."""
    frames = [Random(number).randbytes(size) for number, size in enumerate(sizes)]
    taken: list[bytes] = []
    protocol = FrameProtocol(Ended(), lambda frame: taken.append(frame.tobytes()))

    feed(protocol, b"".join(SIZE.pack(len(frame)) + frame for frame in frames), repeated([*cuts, 50_000]))

    assert taken == frames


def test_a_large_frame_is_not_overwritten() -> None:
    """Its memory is its own: what comes after goes elsewhere."""
    taken: list[memoryview] = []
    protocol = FrameProtocol(Ended(), taken.append)
    frames = [bytes([number]) * (STAGING_BYTES + number) for number in range(3)]

    feed(protocol, b"".join(SIZE.pack(len(frame)) + frame for frame in frames), repeated([100_000]))

    assert [bytes(frame) for frame in taken] == frames


def test_a_negative_length_ends_the_connection() -> None:
    """Something else than a Kafka broker answered: an error of the connection, which the client gets over."""
    protocol = FrameProtocol(Ended(), lambda frame: None)

    with pytest.raises(ConnectionError, match="expected the length of a response, found -1"):
        feed(protocol, b"\xff\xff\xff\xff", repeated([4]))


def test_the_end_is_handed_on() -> None:
    """The library learns of the end, and of a full socket, as if it had the socket itself."""
    ended = Ended()
    protocol = FrameProtocol(ended, lambda frame: None)
    error = ConnectionResetError()

    protocol.pause_writing()
    protocol.resume_writing()
    protocol.eof_received()
    protocol.connection_lost(error)

    assert ended.told == ["pause", "resume", "eof", error]


def test_records_are_views_and_the_rest_is_bytes() -> None:
    """The library reads numbers and strings as bytes; only what no string can be as long as stays where it is."""
    frame = memoryview(RECORDS)
    reader = FrameReader(frame)

    short = reader.read(STRING_BYTES_MAX)
    records = reader.read(STRING_BYTES_MAX + 1)
    end = reader.read(len(RECORDS))

    assert (type(short), type(records)) == (bytes, memoryview)
    assert bytes(short) + bytes(records) + bytes(end) == RECORDS


def fetch_answer() -> bytes:
    """Return a response to a fetch of version 4 with records of one partition."""
    response = FetchResponse_v4(throttle_time_ms=0, topics=[("prices", [(0, 0, 9, 9, [], RECORDS)])])
    return bytes(response.encode())


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, breaks: bool) -> None:
    """Answer as a broker that knows fetches of version 4; on a second fetch end, or break off in the middle."""
    fetches = 0
    while True:
        try:
            (size,) = SIZE.unpack(await reader.readexactly(4))
        except asyncio.IncompleteReadError:
            break
        request = await reader.readexactly(size)
        api = int.from_bytes(request[:2], "big")
        if api == API_VERSIONS:
            # No error, two ranges of versions: fetch 0 to 4, and this request itself.
            answer = b"\0\0" + SIZE.pack(2) + b"\0\1\0\0\0\4" + b"\0\x12\0\0\0\0"
        else:
            fetches += 1
            answer = fetch_answer()
        frame = request[4:8] + answer
        data = SIZE.pack(len(frame)) + frame
        if fetches == 2:
            if breaks:
                writer.write(data[: len(data) // 2])
                await writer.drain()
            break
        writer.write(data)
        await writer.drain()
    writer.close()


def fetch() -> FetchRequest:
    """Return a request."""
    return FetchRequest(100, 1, 1 << 20, 1, [("prices", [(0, 0, 1 << 20)])])


@pytest.mark.parametrize("breaks", [False, True])
def test_a_connection_answers_and_ends_as_the_librarys_own(breaks: bool) -> None:
    """The same response as aiokafka's connection gives, and the same error when the broker goes away."""

    async def run(connect: Any) -> tuple[Any, bool, bool]:
        server = await asyncio.start_server(lambda r, w: serve(r, w, breaks=breaks), "127.0.0.1", 0)
        async with server:
            closed: list[object] = []
            options = {"on_close": lambda connection, reason: closed.append(reason)}
            connection = await connect("127.0.0.1", server.sockets[0].getsockname()[1], **options)
            response = await connection.send(fetch())
            was_connected = connection.connected()
            with pytest.raises(KafkaConnectionError):
                await connection.send(fetch())
            assert len(closed) == 1
            return response, was_connected, connection.connected()

    theirs, *their_states = asyncio.run(run(create_conn))
    ours, *our_states = asyncio.run(run(open_connection))

    [(topic, [(*fields, records)])] = ours.topics
    assert isinstance(records, memoryview)
    assert [(topic, [(*fields, bytes(records))])] == theirs.topics
    assert our_states == their_states == [True, False]


def test_only_our_client_opens_such_connections() -> None:
    """Other clients of the process go on with aiokafka's own connections."""

    class Client:
        pass

    client: Any = Client()

    receive_in_place(client)

    assert client._get_conn.__func__.__globals__["create_conn"] is open_connection
    assert AIOKafkaClient._get_conn.__globals__["create_conn"] is create_conn
    assert client._get_conn.__func__.__code__ is AIOKafkaClient._get_conn.__code__
