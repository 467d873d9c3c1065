"""Metrics and health over HTTP, on loopback unless the configuration says otherwise.

`/health/live` answers whether a restart would help; `/health/ready` whether every assigned partition has caught up with
its own past and works on live records. A worker that replays for minutes is alive and not ready: restarting it would
only begin the replay again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

INDEX = """\
fiftytwo worker

/metrics       for Prometheus
/health/live   200 while it works
/health/ready  200 when every partition is live
"""


UNASSIGNED_SECONDS_MAX: Final = 300.0
"""A group assigns within the session and the rebalance time-out, half a minute; a member that waits ten times as long
has been forgotten, and joins anew with a restart."""


ANSWER_SECONDS_MAX: Final = 30.0
"""How long an answer waits to be taken. Prometheus gives a scrape up after ten seconds; one that hangs, or a machine
that has gone, would keep its answers in this process's memory for ever."""


class WebUnavailable(OSError):
    """The address is taken or does not exist; the text says what to do."""


class Health:
    """What stands between this worker and being ready. The shell changes it, the server reads it.

    Args:
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._live: dict[int, bool] | None = None
        self._unassigned_at: float | None = None
        self._failures: list[str] = []
        self._waiting: dict[str, str] = {}

    @property
    def live(self) -> int:
        """Return how many assigned partitions are live."""
        return sum((self._live or {}).values())

    @property
    def replaying(self) -> int:
        """Return how many assigned partitions still replay their log."""
        return len(self._live or {}) - self.live

    def unassigned(self) -> None:
        """Note that the worker has no partitions until the group assigns some: it joins, or gave all of them back."""
        self._live = None
        if self._unassigned_at is None:
            self._unassigned_at = self._now()

    def assigned(self, partitions: Iterable[int]) -> None:
        """Note the whole assignment. Partitions that stay keep their state, new ones replay first."""
        self._unassigned_at = None
        before = self._live or {}
        self._live = {partition: before.get(partition, False) for partition in sorted(partitions)}

    def became_live(self, partition: int) -> None:
        """Note that a partition has replayed its log; one that has gone meanwhile stays gone."""
        if self._live is not None and partition in self._live:
            self._live[partition] = True

    def restarted(self, partition: int) -> None:
        """Note that a partition's state was dropped and is being built again."""
        if self._live is not None and partition in self._live:
            self._live[partition] = False

    def waiting(self, name: str, reason: str | None) -> None:
        """Note what something waits for, by its name; None when it waits no longer."""
        if reason is None:
            self._waiting.pop(name, None)
        else:
            self._waiting[name] = reason

    @property
    def waiting_count(self) -> int:
        """Return how many wait for the brokers."""
        return len(self._waiting)

    def failed(self, reason: str) -> None:
        """Note what only a restart can mend."""
        self._failures.append(reason)

    def failures(self) -> list[str]:
        """Return why the worker should be restarted; empty while it works."""
        waited = 0.0 if self._unassigned_at is None else self._now() - self._unassigned_at
        if waited < UNASSIGNED_SECONDS_MAX:
            return list(self._failures)
        forgotten = f"the group has not assigned partitions for {waited:.0f} s: a restart joins it anew"
        return [*self._failures, forgotten]

    def not_ready(self) -> list[str]:
        """Return what stands between the worker and being ready; empty when it is ready.

        A worker without partitions is a spare one, and ready.
        """
        if self._live is None:
            return [*self._failures, *self._waiting.values(), "the group has not assigned partitions yet"]
        waiting = [f"partition {partition} is replaying its log" for partition, live in self._live.items() if not live]
        return [*self._failures, *self._waiting.values(), *waiting]


class WebServer:
    """Serves one registry and one health until stopped."""

    def __init__(
        self,
        registry: CollectorRegistry,
        health: Health,
        *,
        host: str,
        port: int,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self._answer_seconds_max = answer_seconds_max
        self._registry = registry
        self._health = health
        self._host = host
        self.port = port
        application = web.Application()
        application.router.add_get("/", self._index)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/health/live", self._live)
        application.router.add_get("/health/ready", self._ready)
        # A scrape every few seconds would be most of the log.
        self._runner = web.AppRunner(application, access_log=None)

    @property
    def url(self) -> str:
        """Return the address to open."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        server = self._runner.server
        return 0 if server is None else len(server.connections)

    async def start(self) -> None:
        """Listen. Port 0 takes a free one, which `port` then names.

        Raises:
            WebUnavailable: The address is taken or does not exist.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise WebUnavailable(
                f"expected to listen on {self._host}:{self.port}, found: {error.strerror or error}: "
                "set web.port to a free port (0 takes any) or web.host to an address of this machine"
            ) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text=INDEX)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        answer = web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
        try:
            async with asyncio.timeout(self._answer_seconds_max):
                await answer.prepare(request)
                await answer.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return answer

    async def _live(self, request: web.Request) -> web.Response:
        return _answer("live", self._health.failures())

    async def _ready(self, request: web.Request) -> web.Response:
        return _answer("ready", self._health.not_ready())


def _answer(name: str, reasons: list[str]) -> web.Response:
    body = json.dumps({name: not reasons, "reasons": reasons})
    return web.Response(status=503 if reasons else 200, text=body + "\n", content_type="application/json")
