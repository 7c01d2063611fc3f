"""Calls that wait while another one finds out that the server is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues.parts import _gate, _pushes
from snakemq.storage.sqla import SqlAlchemyQueuesStorage

PATIENCE = 30.0


class Clock:
    """A clock that tells when it was read."""

    def __init__(self) -> None:
        self.was_asked = threading.Event()

    def monotonic(self) -> float:
        now = time.monotonic()
        self.was_asked.set()
        return now


CALLS: dict[str, Callable[[SqlAlchemyQueuesStorage], object]] = {
    "get_page": lambda storage: storage.get_page("bob", None, 1),
    "push": lambda storage: storage.push("bob", Message(b"", None)),
    "push_many": lambda storage: storage.push_many("bob", [Message(b"", None)]),
}


@pytest.mark.parametrize("name", CALLS)
def test_waiting_calls_fail_with_it_and_the_next_call_asks_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Otherwise each call would wait for seconds, one after the other."""
    call = CALLS[name]
    clock = Clock()
    for module in (_gate, _pushes):
        monkeypatch.setattr(module, "monotonic", clock.monotonic)
    errors: list[StorageError] = []
    asked: list[object] = []

    def wait_and_fail() -> None:
        try:
            call(storage)
        except StorageError as error:
            errors.append(error)

    with closing(SqlAlchemyQueuesStorage(f"sqlite:///{path}", clock=time.monotonic)) as storage:
        run = storage._session.run

        def count(*arguments: object) -> object:
            asked.append(arguments)
            return run(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(storage._session, "run", count)
        waiting = threading.Thread(target=wait_and_fail)
        turn = storage._database.gate.turn
        with turn.lock:
            clock.was_asked.clear()
            waiting.start()
            assert clock.was_asked.wait(PATIENCE)
            storage._database.gate.turn.failed(
                StorageError("no answer within 10 s", temporary=True)
            )
        waiting.join(PATIENCE)
        assert not waiting.is_alive()
        assert asked == []
        assert [str(error) for error in errors] == ["no answer within 10 s"]
        assert errors[0].temporary
        call(storage)
        assert len(asked) == 1


def test_a_failure_that_is_not_the_servers_fails_no_other_call(path: Path) -> None:
    with closing(SqlAlchemyQueuesStorage(f"sqlite:///{path}")) as storage:
        since = time.monotonic()
        turn = storage._database.gate.turn
        with turn.call():
            turn.failed(StorageError("that value does not fit"))
            turn.check(since)
