"""Responses of a broker, received where they stay.

aiokafka reads through asyncio's streams: the kernel's bytes go to a chunk, to a growing buffer, to the response and to
each partition's records, four copies and fresh pages every time, which is half of what a fetch costs. Here the kernel
writes a large response into memory that is taken once, and a partition's records are a view of it. A fetch then costs
what the kernel's own copy costs.

Only the connections of one client are of this kind; they are opened, and end, as aiokafka's own do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, Protocol

import numpy as np
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.fetch import FetchRequest

from streams.kafka.rebinding import rebound

STAGING_BYTES: Final = 65_536
"""Responses below this, all but fetches of a backlog, are received together with their length: one call, one copy."""

BLOCK_BYTES: Final = 1 << 20

SIZE: Final = Struct(">i")
STRING_BYTES_MAX: Final = 32_767
"""No string of the protocol is longer; what is longer is a partition's records."""


class InPlaceConnection(AIOKafkaConnection):
    """A connection whose large fetch responses are not copied once they are received."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, greet and sign in as aiokafka does; then take the socket's bytes over."""
        reader, writer = await super().connect()
        # Nothing is under way now. The reader stays without bytes until the connection ends, which it is told of.
        writer.transport.set_protocol(FrameProtocol(self._protocol, self._take))
        return reader, writer

    def _take(self, frame: memoryview) -> None:
        correlation_id, request, future = self._requests[0]
        if len(frame) < STAGING_BYTES or request is None or request.API_KEY != FetchRequest.API_KEY:
            self._handle_frame(frame.tobytes())
            return
        reader = FrameReader(frame)
        if request.parse_response_header(reader).correlation_id != correlation_id:
            self._handle_frame(frame.tobytes())  # which says what is wrong, and closes
            return
        if not future.done():
            future.set_result(request.RESPONSE_TYPE.decode(reader))
        self._last_action = time.monotonic()
        self._requests.popleft()


class Ended(Protocol):
    """What a connection is told when its socket ends, or cannot take more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""

    def eof_received(self) -> bool | None:
        """The broker sends no more."""

    def pause_writing(self) -> None:
        """The socket's buffer is full."""

    def resume_writing(self) -> None:
        """The socket takes more."""


class FrameProtocol(asyncio.BufferedProtocol):
    """Cuts what a socket receives into frames: four bytes of length, then as many bytes.

    Args:
        ended: Told when the socket ends, and when it cannot take more.
        take: Called with each frame, in order. A frame of `STAGING_BYTES` or more is its own memory; a smaller one is
            overwritten once `take` returns.
    """

    def __init__(self, ended: Ended, take: Callable[[memoryview], None]) -> None:
        self._ended = ended
        self._take = take
        self._staging = memoryview(bytearray(STAGING_BYTES + SIZE.size))
        self._staged = 0
        self._large: memoryview | None = None
        self._received = 0

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return self._staging[self._staged :] if self._large is None else self._large[self._received :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that were received.

        Raises:
            ConnectionError: They are not frames; the transport closes the connection.
        """
        if self._large is None:
            self._staged += nbytes
            self._cut()
            return
        self._received += nbytes
        if self._received == len(self._large):
            frame, self._large = self._large, None
            self._take(frame)

    def _cut(self) -> None:
        start = 0
        while self._staged - start >= SIZE.size:
            (size,) = SIZE.unpack_from(self._staging, start)
            if size < 0:
                raise ConnectionError(f"expected the length of a response, found {size}: is this a Kafka broker?")
            begin, end = start + SIZE.size, start + SIZE.size + size
            if size >= STAGING_BYTES:
                self._begin_large(size, self._staging[begin : self._staged])
                return
            if end > self._staged:
                break
            self._take(self._staging[begin:end])
            start = end
        rest = self._staged - start
        if start and rest:
            self._staging[:rest] = self._staging[start : self._staged]
        self._staged = rest

    # At most a few bytes less than the frame has were staged, so it is never complete at once.
    def _begin_large(self, size: int, staged: memoryview) -> None:
        # Whole blocks, so that one that was given back fits the next: else the heap grows, and its new pages cost more
        # than the bytes.
        self._large = np.empty(-(-size // BLOCK_BYTES) * BLOCK_BYTES, np.uint8).data[:size]
        self._received = len(staged)
        self._large[: self._received] = staged
        self._staged = 0
        if self._received == size:
            self.buffer_updated(0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand the end on."""
        self._large = None
        self._ended.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Hand the end on."""
        return self._ended.eof_received()

    def pause_writing(self) -> None:
        """Hand it on."""
        self._ended.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._ended.resume_writing()


class FrameReader:
    """What aiokafka's protocol classes read from: records as views, everything else as bytes."""

    __slots__ = ("_at", "_frame")

    def __init__(self, frame: memoryview) -> None:
        self._frame = frame
        self._at = 0

    def read(self, size: int) -> bytes | memoryview:
        """Return the next bytes, fewer at the end."""
        part = self._frame[self._at : self._at + size]
        self._at += size
        return part if size > STRING_BYTES_MAX else part.tobytes()


async def open_connection(host: str, port: int, **options: Any) -> InPlaceConnection:
    """Open a connection; takes the place of `aiokafka.conn.create_conn` in one client."""
    connection = InPlaceConnection(host, port, **options)
    await connection.connect()
    return connection


def receive_in_place(client: AIOKafkaClient) -> None:
    """Let one client open connections of our kind. Called before it connects."""
    client._get_conn = rebound(client, AIOKafkaClient._get_conn, create_conn=open_connection)
