"""Asking brokers that may not be there yet: a worker that starts before them waits, as one whose brokers go away does.

What waiting does not mend ends it: brokers that are there and do not let us in, or do not let us look. The client says
only that it could not connect, so each address is then asked for its reason.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from streams.config import Kafka
from streams.kafka.restarts import is_away
from streams.kafka.security import client_settings
from streams.kafka.topics import BrokersUnreachable, what_to_check

ASK_SECONDS: Final = 15.0
"""How long one answer may take."""

AGAIN_SECONDS: Final = 1.0
"""Between two attempts: a broker that comes is noticed soon, and one that does not is not kept busy."""

REFUSALS_MAX: Final = 3
"""So often in a row something must be refused: what a network spoils once is asked again."""

_SHUT: Final = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    ssl.SSLError,
)
_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""Connections that broke while they were made secure: a broker that ends does that."""

Answer = TypeVar("Answer")


async def wait_for_brokers(
    ask: Callable[[], Awaitable[Answer]], kafka: Kafka, *, tell: Callable[[str | None], None]
) -> Answer:
    """Ask until the brokers answer, and return what they said.

    Args:
        ask: Asks once.
        kafka: Where the brokers are.
        tell: Told after each attempt what is waited for, and None when it is waited for no longer.

    Raises:
        BrokersUnreachable: A broker does not let us in.
        KafkaError: The brokers refuse what is asked.
    """
    # Certificates that cannot be read are no reason to wait.
    client_settings(kafka)
    began, refusals = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answer = await ask()
            tell(None)
            return answer
        except (KafkaError, OSError) as error:
            # Who did not answer at all has not refused, and would be asked for as long again.
            shut = await shut_out(kafka) if is_away(error) and not isinstance(error, TimeoutError) else ""
            refusals = refusals + 1 if shut or not is_away(error) else 0
            if refusals >= REFUSALS_MAX:
                if shut:
                    raise BrokersUnreachable(shut) from error
                raise
            reason = shut or _text(error, kafka)
        tell(f"no broker has answered for {time.monotonic() - began:.0f} s: {reason}")
        await asyncio.sleep(AGAIN_SECONDS)


async def shut_out(kafka: Kafka) -> str:
    """Return why a broker that is there does not let us in; empty where none is there, or one lets us in."""
    if kafka.security_protocol == "PLAINTEXT":
        return ""
    settings = client_settings(kafka)
    hosts = collect_hosts(settings.pop("bootstrap_servers"), randomize=False)
    found = await asyncio.gather(*(_refused(host, port, settings) for host, port, _ in hosts))
    for (host, port, _), error in zip(hosts, found, strict=True):
        if error is not None:
            return (
                f"expected the broker at {host}:{port} to let us in over {kafka.security_protocol}, found "
                f"{type(error).__name__}: {error}: check {what_to_check(kafka)}"
            )
    return ""


async def _refused(host: str, port: int, settings: Mapping[str, Any]) -> Exception | None:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            connection = await create_conn(host, port, client_id="fiftytwo-start", **settings)
    except _CUT:
        return None
    except _SHUT as error:
        return error
    except (KafkaError, OSError):
        return None
    connection.close()
    return None


def _text(error: Exception, kafka: Kafka) -> str:
    if isinstance(error, TimeoutError):
        return f"expected an answer of {kafka.bootstrap_servers} within {ASK_SECONDS:g} s, found none"
    return str(error) if isinstance(error, BrokersUnreachable) else f"{type(error).__name__}: {error}"
