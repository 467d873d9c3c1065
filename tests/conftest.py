"""Fixtures that every test may ask for: the two brokers, a fresh topic prefix; and a loud word for what did not run."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from streams.kafka.embedded import EmbeddedBroker
from tests.integration.apache import ApacheBroker, ApacheUnavailable
from tests.needs import NOT_RUN, require

# What a test draws is the same in every run, so that a failure is repeated by running again; where a number of examples
# is asked for they are drawn anew each time.
settings.register_profile("repeatable", derandomize="FIFTYTWO_EXAMPLES" not in os.environ, deadline=None)
settings.load_profile("repeatable")


# What a shell starts in the background ignores an interrupt, and so does all that is started from there: the tests that
# interrupt something would wait without end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedBroker]:
    """Run the embedded broker for the whole session."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def _apache_or_reason() -> Iterator[ApacheBroker | str]:
    try:
        broker = ApacheBroker()
    except ApacheUnavailable as error:
        yield str(error)
        return
    with broker:
        yield broker


@pytest.fixture
def apache(_apache_or_reason: ApacheBroker | str) -> ApacheBroker:
    """Run Apache Kafka for the whole session; or report the test as not run (fail under REQUIRE_KAFKA=1)."""
    if isinstance(_apache_or_reason, str):
        require("REQUIRE_KAFKA", _apache_or_reason)
    return _apache_or_reason


@pytest.fixture(params=["embedded", "apache"])
def broker(request: pytest.FixtureRequest) -> EmbeddedBroker | ApacheBroker:
    """Run the test on each of the two brokers."""
    found: EmbeddedBroker | ApacheBroker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def prefix() -> str:
    """Return a topic prefix that no other test has, so that tests share a broker without seeing each other."""
    return f"test-{uuid.uuid4().hex[:10]}."


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every test that did not run because this machine lacks something."""
    reasons: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, mark, missing = reason.partition(NOT_RUN)
        if mark:
            reasons.setdefault(missing, []).append(report.nodeid)
    if not reasons:
        return
    terminalreporter.section("NOT RUN", sep="=", red=True, bold=True)
    for missing, names in reasons.items():
        terminalreporter.write_line(f"{len(names)} tests were not run: {missing}", red=True)
        for name in names:
            terminalreporter.write_line(f"  {name}")
