"""examples/file_transfer: a file arrives whole, in bounded memory, whatever is cut or killed."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.processes import Script, Scripts
from tests.support.relay import Relay

from .endings import terminate, url_of

MB = 1_000_000
SIZE = 50 * MB
MOST_MEMORY = 56 * MB
"""Python and snakeMQ take about half of it. The whole file would not fit into the rest."""


@pytest.fixture
def receiver(run: Scripts) -> Script:
    return run.start("file_transfer/receiver.py", "tcp://127.0.0.1:0")


@pytest.fixture
def relay(receiver: Script) -> Iterator[Relay]:
    with closing(Relay(int(url_of(receiver).rpartition(":")[2]))) as relay:
        yield relay


def peak_memory(script: Script) -> int:
    """The most memory that a running script has taken so far, in bytes; 0 if unknown."""
    status = Path(f"/proc/{script.process.pid}/status")
    match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(match[1]) * 1024 if match is not None else 0


def test_file_arrives_although_everything_breaks_once(
    run: Scripts, receiver: Script, relay: Relay, tmp_path: Path
) -> None:
    content = os.urandom(SIZE)
    (tmp_path / "big.bin").write_bytes(content)

    def send() -> Script:
        return run.start("file_transfer/sender.py", "big.bin", f"tcp://127.0.0.1:{relay.port}")

    relay.pass_only(10 * MB)
    sender = send()
    relay.wait_until_held_up()
    relay.cut(then=10 * MB)  # the sender goes on by itself
    relay.wait_until_held_up()
    assert peak_memory(sender) < MOST_MEMORY
    assert sender.process.poll() is None
    sender.kill()

    relay.cut(then=10 * MB)
    sender = send()
    relay.wait_until_held_up()
    begin = int(sender.wait_for("begins at").split()[-1])
    assert 0 < begin <= 20 * MB
    for script in (sender, receiver):
        assert peak_memory(script) < MOST_MEMORY
    receiver.kill()
    receiver = run.start("file_transfer/receiver.py", receiver.lines[0].split()[-1])
    relay.cut()

    receiver.wait_for("received big.bin")
    assert sender.wait() == 0, sender
    assert sender.lines[-1] == f"sent {SIZE} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"
    assert "100 %" in sender.lines[-2]
    assert (tmp_path / "received" / "big.bin").read_bytes() == content
    terminate(receiver)
