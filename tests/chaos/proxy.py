"""A proxy between a client and a broker that knows where Kafka's frames begin and end, and can spoil them one by one.

A request is a length, the number of its API, its version and a correlation id; a response is a length and that id. So
the proxy knows what each frame is about without knowing what is in it. It stands before a listener of its own, whose
advertised address is the proxy's: clients that come through it never learn of another.

A network does to a frame what is done here: it holds it back and delivers it late, after its sender has given up and
gone; it loses it; it delays what comes after; it breaks the connection before or after. A request that is delivered
twice stands for one whose answer was lost and that was sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

APIS: Final = {
    "Produce": 0,
    "Fetch": 1,
    "ListOffsets": 2,
    "Metadata": 3,
    "OffsetCommit": 8,
    "OffsetFetch": 9,
    "FindCoordinator": 10,
    "JoinGroup": 11,
    "Heartbeat": 12,
    "LeaveGroup": 13,
    "SyncGroup": 14,
    "InitProducerId": 22,
    "AddPartitionsToTxn": 24,
    "AddOffsetsToTxn": 25,
    "EndTxn": 26,
    "TxnOffsetCommit": 28,
}
API_NAMES: Final = {number: name for name, number in APIS.items()}

Kind = Literal["hold", "drop", "delay", "duplicate", "reset"]
KINDS: Final[tuple[Kind, ...]] = ("hold", "drop", "delay", "duplicate", "reset")
Side = Literal["request", "response"]

_LENGTH: Final = struct.Struct(">i")
_REQUEST: Final = struct.Struct(">hhi")  # API, version, correlation id
_CORRELATION: Final = struct.Struct(">i")
FRAME_BYTES_MAX: Final = 128 << 20
OWED_BYTES: Final = 512
"""Of a request, kept until its answer comes: enough to know what it is for."""


@dataclass(eq=False)
class Fault:
    """Something to do to the next frame of one API.

    Attributes:
        kind: `hold`: it is delivered when `release` is called or after `seconds`, whatever became of its sender, and
            what follows it goes on. `drop`: it is never delivered. `delay`: it and what follows wait `seconds`.
            `duplicate`: a request is delivered twice, and one answer is kept back; a response is delivered once.
            `reset`: the connection breaks; a request is lost, or an answer after its request was carried out.
        side: Whether it is done to the request or to the response.
        wanted: Tells of a request whether it is the one, or its answer; others are passed over.
        after: Passes over all until a request of this API has passed; empty does not.
        hit: Set when the frame has come.
        done: Set when it was done to the frame.
        answer: The broker's answer to a held request, as it came.
    """

    api: str
    kind: Kind
    side: Side = "request"
    seconds: float = 0.5
    wanted: Callable[[bytes], bool] = lambda request: True
    after: str = ""
    hit: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answer: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Deliver a held frame now."""
        self._released.set()

    async def wait_released(self) -> None:
        """Wait until the frame is to be delivered."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), self.seconds)


class FrameProxy:
    """Passes frames on between clients and one broker. Use it as an async context.

    Args:
        port: Where clients connect to, on loopback.
        upstream: The broker's port.
    """

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._armed: deque[Fault] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusal: Callable[[bytes], bytes | None] = lambda request: None
        """Returns what is answered in the broker's place; None lets it answer itself."""
        self.done: Counter[tuple[str, Kind]] = Counter()
        """Faults that were carried out."""
        self.seen: Counter[str] = Counter()
        """Requests that passed, by API."""

    def arm(self, fault: Fault) -> Fault:
        """Do this to the next frame of its API and side; several wait in order."""
        self._armed.append(fault)
        return fault

    def disarm(self) -> None:
        """Forget what has not happened."""
        self._armed.clear()

    async def __aenter__(self) -> FrameProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def see(self, request: bytes) -> None:
        """Count a request that passes."""
        name = _name(request)
        self.seen[name] += 1
        for fault in self._armed:
            if fault.after == name:
                fault.after = ""

    def take(self, request: bytes, side: Side) -> Fault | None:
        """Return the fault for a request or its answer, which then has happened."""
        name = _name(request)
        for fault in self._armed:
            if (fault.api, fault.side, fault.after) == (name, side, "") and fault.wanted(request):
                self._armed.remove(fault)
                fault.hit.set()
                return fault
        return None

    def finish(self, fault: Fault) -> None:
        """Count a fault that was carried out."""
        self.done[fault.api, fault.kind] += 1
        fault.done.set()

    def spawn(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it ends."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.spawn(task)
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        # The proxy closes: asyncio would complain of a connection that was cancelled.
        with contextlib.suppress(asyncio.CancelledError):
            await _Connection(self, (reader, writer), upstream).run()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    # One client's connection and its twin to the broker. Answers come in the order of the requests that were delivered.
    def __init__(self, proxy: FrameProxy, client: _Streams, broker: _Streams) -> None:
        self._proxy = proxy
        self._client_reader, self._client = client
        self._broker_reader, self._broker = broker
        # What the broker owes: the request, and its fault where it was held or doubled and the client must not see the
        # answer. A request that was answered here stands among them with its answer: answers come in order.
        self._owed: deque[tuple[bytes, Fault | None, bytes | None]] = deque()
        self._holding = 0
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        answers = asyncio.create_task(self._answers())
        try:
            await self._requests()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            # A held request is delivered although its sender has gone; then its answer is awaited, too.
            while self._holding and not answers.done():
                await asyncio.sleep(0.02)
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            for writer in (self._client, self._broker):
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _requests(self) -> None:
        while True:
            frame = await _read(self._client_reader)
            self._proxy.see(frame)
            answer = self._proxy.refusal(frame)
            if answer is not None:
                self._owed.append((frame, None, answer))
                await self._answer_refused()
                continue
            fault = self._proxy.take(frame, "request")
            if fault is None:
                await self._deliver(frame, None)
                continue
            match fault.kind:
                case "reset":
                    self._proxy.finish(fault)
                    return
                case "drop":
                    self._proxy.finish(fault)
                    continue
                case "hold":
                    self._holding += 1
                    self._proxy.spawn(asyncio.create_task(self._deliver_late(frame, fault)))
                    continue
                case "delay":
                    await fault.wait_released()
                    await self._deliver(frame, None)
                case "duplicate":
                    # Of two deliveries the client sees the first answer.
                    await self._deliver(frame, None)
                    await self._deliver(frame, fault)
            self._proxy.finish(fault)

    async def _deliver(self, frame: bytes, hidden: Fault | None) -> None:
        async with self._writing:
            self._owed.append((frame[:OWED_BYTES], hidden, None))
            self._broker.write(_LENGTH.pack(len(frame)) + frame)
            await self._broker.drain()

    async def _deliver_late(self, frame: bytes, fault: Fault) -> None:
        await fault.wait_released()
        try:
            await self._deliver(frame, fault)
            self._proxy.finish(fault)
            await asyncio.wait({fault.answer}, timeout=5.0)
        except OSError:
            pass
        finally:
            self._holding -= 1

    # What was answered here goes out when all that was asked before it has been answered.
    async def _answer_refused(self) -> None:
        while self._owed and (answer := self._owed[0][2]) is not None:
            self._owed.popleft()
            await self._tell(answer)

    async def _tell(self, answer: bytes) -> None:
        try:
            self._client.write(_LENGTH.pack(len(answer)) + answer)
            await self._client.drain()
        except OSError:
            # The client has gone. What is held of it is delivered all the same, so the broker must be read on.
            if not self._holding:
                raise

    async def _answers(self) -> None:
        try:
            while True:
                frame = await _read(self._broker_reader)
                request, hidden, _ = self._owed.popleft() if self._owed else (b"", None, None)
                if hidden is not None:
                    if not hidden.answer.done():
                        hidden.answer.set_result(frame)
                    continue
                fault = self._proxy.take(request, "response") if request else None
                if fault is not None and fault.kind in ("reset", "drop"):
                    self._proxy.finish(fault)
                    if fault.kind == "reset":
                        break
                    continue
                if fault is not None and fault.kind in ("hold", "delay"):
                    await fault.wait_released()
                await self._tell(frame)
                if fault is not None:
                    self._proxy.finish(fault)
                await self._answer_refused()
        except (OSError, asyncio.IncompleteReadError):
            pass
        # The broker has gone, or the connection is to break: the client must notice.
        self._client.transport.abort()
        self._client_reader.feed_eof()


async def _read(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if not 0 <= length <= FRAME_BYTES_MAX:
        raise OSError(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, found one of {length}")
    return await reader.readexactly(length)


def _name(request: bytes) -> str:
    api, _, _ = _REQUEST.unpack_from(request)
    return API_NAMES.get(api, str(api))


def correlation_id(frame: bytes) -> int:
    """Return the correlation id of an answer."""
    return int(_CORRELATION.unpack_from(frame)[0])


def broker_settings(settings: str, listeners: dict[str, tuple[int, int]]) -> str:
    """Return a node's properties with one more listener for each proxy.

    Args:
        settings: As `ApacheBroker` takes them.
        listeners: For each listener's name the broker's port and the proxy's, which is advertised.
    """
    own = "".join(f",{name}://127.0.0.1:{port}" for name, (port, _) in listeners.items())
    advertised = "".join(f",{name}://127.0.0.1:{port}" for name, (_, port) in listeners.items())
    protocols = "".join(f",{name}:PLAINTEXT" for name in listeners)
    lines = []
    for line in settings.splitlines():
        key = line.partition("=")[0]
        line += {"listeners": own, "advertised.listeners": advertised}.get(key, "")
        lines.append(line + (protocols if key == "listener.security.protocol.map" else ""))
    return "\n".join(lines) + "\n"
