"""A peer that runs is a process, which gets real signals."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from real_peers import PATIENCE, MakePeer

from snakemq.exceptions import LoopError
from snakemq.peer import Peer

PRELUDE = """
import os, signal, sys
from snakemq.peer import Peer

install, url = signal.signal, ""

def announce(number, handler):
    def heard(number, frame):
        handler(number, frame)
        os.write(1, b"heard\\n")  # print() may not be called while it is being called

    is_ours = callable(handler) and handler is not signal.default_int_handler
    before = install(number, heard if is_ours else handler)
    if is_ours and number == signal.SIGINT:
        os.write(1, url.encode() + b"\\n")  # from now on, signals are handled
    return before

signal.signal = announce
"""

SCRIPT = (
    PRELUDE
    + """
peer = Peer("service", close_timeout=float(sys.argv[1]))
@peer.on_message
def handler(message):
    if message.data == b"stop":
        peer.stop()
url = peer.listen("tcp://127.0.0.1:0")
peer.run()
print("bye")
"""
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@contextmanager
def service(close_timeout: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a peer that runs, and its address."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(close_timeout)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_without_a_traceback(number: signal.Signals) -> None:
    with service(PATIENCE) as (process, _):
        process.send_signal(number)
        assert end_of(process) == (0, "heard\nbye\n", "")


def test_stop_ends_it(alice: Peer) -> None:
    with service(PATIENCE) as (process, url):
        alice.connect(url)
        alice.send("service", b"stop")
        assert end_of(process) == (0, "bye\n", "")


BUSY = (
    PRELUDE
    + """
import time
peer = Peer("service", close_timeout=3600)
@peer.on_message
def handler(message):
    os.write(1, b"begun\\n")  # print() may be held up in here, with its lock, when Python ends
    time.sleep(3600)
url = peer.listen("tcp://127.0.0.1:0")
peer.run()
print("bye")
"""
)


def test_second_signal_ends_the_waiting(alice: Peer) -> None:
    command = [sys.executable, "-W", "error", "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            alice.connect(process.stdout.readline().strip())
            alice.send("service", b"hello")
            assert process.stdout.readline() == "begun\n"
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                assert process.stdout.readline() == "heard\n"
            assert process.stdout.read() == "bye\n"
        finally:
            process.kill()


def test_peer_runs_in_the_main_thread_only(alice: Peer) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            alice.run()
        except LoopError as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert [str(error) for error in errors] == [
        "run() handles signals, which only the main thread can do"
    ]


def test_stop_that_comes_first_is_not_missed(make_peer: MakePeer) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    alice = make_peer("alice")
    alice.stop()
    alice.run()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_peer_that_another_thread_closes_runs_no_more(make_peer: MakePeer) -> None:
    alice = make_peer("alice")
    closing = threading.Thread(target=alice.close)
    alice.link.call_from_thread(closing.start)
    alice.run()
    closing.join(PATIENCE)


def test_loop_that_is_stopped_ends_it(make_peer: MakePeer) -> None:
    alice = make_peer("alice")
    alice.link.call_from_thread(alice.link.stop)
    alice.run()
