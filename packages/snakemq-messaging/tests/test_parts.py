"""The parts that storages are made of, one by one."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import MAX_TTL, Message
from snakemq.queues import StoredMessage
from snakemq.queues.parts import (
    Border,
    Failure,
    Gate,
    Leftovers,
    Positions,
    Pushes,
    ServerGate,
    UnreadableItem,
    fill_page,
    free_name,
    in_use,
    read_v16_message,
    too_new,
    ttl_of_v16,
)

PATIENCE = 30.0

log = logging.getLogger("snakemq.test")


def explain(error: Exception) -> Failure | None:
    if isinstance(error, ConnectionError):
        return Failure(f"no answer: {error}", is_temporary=True)
    return Failure(str(error), is_temporary=False) if isinstance(error, OSError) else None


@pytest.fixture
def gate() -> Gate:
    return Gate("shelf storage 'a'", explain, log)


class TestBorder:
    border = Border("shelf storage 'a'", explain)

    @pytest.mark.parametrize(
        ("error", "text", "is_temporary"),
        [
            (ConnectionResetError("gone"), "shelf storage 'a': no answer: gone", True),
            (PermissionError("locked"), "shelf storage 'a': locked", False),
        ],
    )
    def test_an_error_of_the_back_end_becomes_a_storage_error(
        self, error: Exception, text: str, is_temporary: bool
    ) -> None:
        with pytest.raises(StorageError) as caught, self.border:
            raise error
        assert str(caught.value) == text
        assert caught.value.temporary is is_temporary
        assert caught.value.__cause__ is error

    @pytest.mark.parametrize("error", [KeyError("x"), StorageError("x"), KeyboardInterrupt()])
    def test_other_exceptions_pass(self, error: BaseException) -> None:
        with pytest.raises(type(error)) as caught, self.border:
            raise error
        assert caught.value is error


class TestGate:
    def test_it_refuses_calls_once_it_is_closed_and_finishes_once(self, gate: Gate) -> None:
        finished: list[str] = []
        with gate.call():
            pass
        for _ in range(2):
            gate.close(lambda: finished.append("finished"))
        assert finished == ["finished"]
        with pytest.raises(StorageError, match=r"shelf storage 'a': it is closed"), gate.call():
            pass

    def test_a_call_that_waits_while_it_is_closed_is_refused(self, gate: Gate) -> None:
        errors: list[StorageError] = []

        def call() -> None:
            try:
                with gate.call():
                    pass
            except StorageError as error:
                errors.append(error)

        waiting = threading.Thread(target=call)
        with gate.turn.lock:
            waiting.start()
            gate.shut("its file is gone")
        waiting.join(PATIENCE)
        assert [str(error) for error in errors] == ["shelf storage 'a': its file is gone"]

    def test_only_one_of_two_closing_threads_finishes(self, gate: Gate) -> None:
        finished: list[str] = []
        waiting = threading.Thread(target=gate.close, args=[lambda: finished.append("late")])
        with gate.turn.lock:
            waiting.start()
            gate.close(lambda: finished.append("first"))
        waiting.join(PATIENCE)
        assert finished == ["first"]

    def test_errors_of_the_back_end_become_storage_errors(self, gate: Gate) -> None:
        with pytest.raises(StorageError, match="no answer"), gate.call():
            raise ConnectionResetError

    def test_no_call_fails_because_of_another(self, gate: Gate) -> None:
        with gate.turn.call():
            with pytest.raises(StorageError), gate.in_turn(since=0.0):
                raise ConnectionResetError
            with gate.in_turn(since=0.0):
                pass

    def test_calls_that_waited_for_a_silent_server_fail_together(self) -> None:
        gate = ServerGate("shelf storage 'a'", explain, log, slow=0.0)
        with gate.turn.call():
            with pytest.raises(StorageError), gate.in_turn(since=0.0):
                raise ConnectionResetError("silent")
            with pytest.raises(StorageError, match="silent"), gate.in_turn(since=0.0):
                pytest.fail("the server was asked once more")

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_forked_child_finds_it_shut_although_a_call_was_under_way(self, gate: Gate) -> None:
        gate.open(connection=object())
        is_forked, has_turn = threading.Event(), threading.Event()

        def keep_the_turn() -> None:
            with gate.call():
                has_turn.set()
                is_forked.wait(PATIENCE)

        calling = threading.Thread(target=keep_the_turn)
        calling.start()
        assert has_turn.wait(PATIENCE)
        pid = os.fork()
        if pid == 0:
            signal.alarm(round(PATIENCE))  # instead of waiting for a thread that is not there
            try:
                with gate.call():
                    os._exit(1)
            except StorageError as error:
                os._exit(0 if "forked process" in str(error) else 2)
        is_forked.set()
        calling.join(PATIENCE)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        with gate.call():
            pass


class Shelf:
    """Stores in a list, by position."""

    def __init__(self, gate: Gate) -> None:
        self.positions = Positions()
        self.stored: dict[int, bytes] = {}
        self.pushes = Pushes[str](gate, self.positions, self.store)

    def store(self, messages: Sequence[tuple[str, Message]], first: int | None) -> int:
        if first is None:
            first = self.positions.reserve(len(messages))
        self.stored.update(enumerate([item.data for _, item in messages], first))
        return first


class TestPushes:
    def test_each_message_gets_its_position(self, gate: Gate) -> None:
        shelf = Shelf(gate)
        assert list(shelf.pushes.push("bob", [Message(b"1"), Message(b"2")])) == [1, 2]
        assert list(shelf.pushes.push("bob", [Message(b"3")])) == [3]
        assert list(shelf.pushes.push("bob", [])) == []
        assert shelf.stored == {1: b"1", 2: b"2", 3: b"3"}

    def test_a_push_during_a_call_is_stored_when_the_call_ends(self, gate: Gate) -> None:
        shelf = Shelf(gate)
        with gate.call():
            assert list(shelf.pushes.push("bob", [Message(b"1")])) == [1]
            assert shelf.stored == {}
        assert shelf.stored == {1: b"1"}

    def test_nothing_is_pushed_once_the_gate_is_shut(self, gate: Gate) -> None:
        shelf = Shelf(gate)
        gate.shut("it is closed")
        with pytest.raises(StorageError, match="it is closed"):
            shelf.pushes.push("bob", [Message(b"1")])
        assert shelf.stored == {}


class TestPositions:
    def test_they_ascend_and_never_go_back(self) -> None:
        positions = Positions(last=4)
        assert positions.reserve(3) == 5
        positions.continue_after(20)
        positions.continue_after(10)
        assert positions.reserve(1) == 21


class TestLeftovers:
    def test_they_are_deleted_once_and_again_if_that_fails(self) -> None:
        leftovers = Leftovers[int]()
        leftovers.remove(lambda items: pytest.fail("there are none"))
        leftovers.add([1])
        leftovers.add([2, 3])
        deleted: list[int] = []

        def fail(items: list[int]) -> None:
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            leftovers.remove(fail)
        leftovers.remove(deleted.extend)
        leftovers.remove(lambda items: pytest.fail("they are gone"))
        assert deleted == [1, 2, 3]


class TestPage:
    @staticmethod
    def read(item: bytes) -> StoredMessage:
        if item == b"rotten":
            raise UnreadableItem("it is rotten")
        return StoredMessage(0, Message(item))

    @pytest.mark.parametrize(
        ("limit", "max_bytes", "expected"),
        [
            (None, None, [b"aa", b"bb", b"cc"]),
            (2, None, [b"aa", b"bb"]),
            (None, 3, [b"aa", b"bb"]),
            (None, 1, [b"aa"]),
            (1, 4, [b"aa"]),
        ],
    )
    def test_it_ends_where_it_should_and_takes_no_more(
        self, limit: int | None, max_bytes: int | None, expected: list[bytes]
    ) -> None:
        items = iter([b"aa", b"bb", b"cc"])
        page, unreadable = fill_page(items, self.read, limit, max_bytes)
        assert [stored.message.data for stored in page] == expected
        assert unreadable == []
        assert len(list(items)) == 3 - len(expected)

    def test_what_cannot_be_read_takes_no_room(self) -> None:
        page, unreadable = fill_page([b"rotten", b"aa", b"bb"], self.read, 1)
        assert [stored.message.data for stored in page] == [b"aa"]
        assert unreadable == [(b"rotten", "it is rotten")]


class TestOpening:
    def test_an_owner_is_named(self) -> None:
        assert in_use("the file") == (
            "the file is in use by another process or another storage object;"
            " two owners would deliver its messages twice"
        )

    def test_a_newer_schema_is_refused_for_good(self) -> None:
        error = too_new("shelf storage 'a'", 3, 2, "shelves")
        assert not error.temporary
        assert str(error) == (
            "shelf storage 'a' has schema version 3, but this shelves only knows versions up to 2;"
            " upgrade shelves. Nothing was changed."
        )

    def test_a_backup_gets_the_first_name_that_is_free(self) -> None:
        taken = {"backup", "backup-2", "backup-4"}
        assert free_name("backup", taken.__contains__, "-") == "backup-3"
        assert free_name("other", taken.__contains__, "-") == "other"

    @pytest.mark.parametrize(
        ("stored", "kept"),
        [(1.5, 1.5), (0.0, 0.0), (-3.0, 0.0), (MAX_TTL, MAX_TTL), (MAX_TTL + 1, None)],
    )
    def test_a_ttl_of_1_6_becomes_one_that_we_can_keep(
        self, stored: float, kept: float | None
    ) -> None:
        assert ttl_of_v16(stored) == kept

    def test_a_message_of_1_6_is_read(self) -> None:
        message = read_v16_message(b"0f" * 16, 60, 1, b"data")
        assert (message.uuid, message.ttl, message.flags, message.data) == (
            b"\x0f" * 16,
            60.0,
            1,
            b"data",
        )

    @pytest.mark.parametrize(
        ("columns", "reason"),
        [
            ((None, 1.0, 1, b""), "uuid is NULL, not BLOB or TEXT"),
            ((b"z" * 32, 1.0, 1, b""), "uuid is not hexadecimal"),
            ((b"0f" * 3, 1.0, 1, b""), "uuid"),
            ((b"0f" * 16, b"1", 1, b""), "ttl is BLOB, not REAL or NULL"),
            ((b"0f" * 16, 1.0, 1.0, b""), "flags is REAL, not INTEGER"),
            ((b"0f" * 16, 1.0, 1, 5), "data is INTEGER, not BLOB or TEXT"),
        ],
    )
    def test_what_is_not_a_message_of_1_6_is_named(
        self, columns: tuple[object, ...], reason: str
    ) -> None:
        with pytest.raises(UnreadableItem, match=reason):
            read_v16_message(*columns)
