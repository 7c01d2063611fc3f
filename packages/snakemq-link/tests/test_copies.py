"""Where speed needs a rule twice, the copy does with an exception what the rule does."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from real_links import DiaryLink, connect

RAISED = [None, ValueError, KeyboardInterrupt, SystemExit]


class Callbacks:
    """Two callbacks in a row, of which the first one may raise."""

    def __init__(self, raises: type[BaseException] | None) -> None:
        self._raises = raises
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    def first(self, *args: object) -> None:
        self.calls.append(("first", args))
        if self._raises is not None:
            raise self._raises

    def second(self, *args: object) -> None:
        self.calls.append(("second", args))


Effects = tuple[object, ...]


def effects(
    act: Callable[[Callbacks], object],
    raises: type[BaseException] | None,
    caplog: pytest.LogCaptureFixture,
) -> Effects:
    """What two callbacks saw, what came through, and what was logged of it."""
    caplog.clear()
    callbacks = Callbacks(raises)
    came_through: type[BaseException] | None = None
    try:
        act(callbacks)
    except BaseException as exc:
        came_through = type(exc)
    errors = [
        (record.name, record.getMessage(), record.exc_info and record.exc_info[0])
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]
    return callbacks.calls, came_through, errors


def call_both(link: DiaryLink, callbacks: Callbacks, *args: object) -> None:
    link._loop.call(callbacks.first, *args)
    link._loop.call(callbacks.second, *args)


@pytest.mark.parametrize("raises", RAISED)
def test_handlers_of_events_are_guarded_like_a_call(
    link: DiaryLink, raises: type[BaseException] | None, caplog: pytest.LogCaptureFixture
) -> None:
    def one_pass(callbacks: Callbacks) -> None:
        link._loop._one_pass([(callbacks.first, 1), (callbacks.second, 1)])

    expected = effects(lambda callbacks: call_both(link, callbacks, 1), raises, caplog)
    assert effects(one_pass, raises, caplog) == expected


@pytest.mark.parametrize("raises", RAISED)
def test_callbacks_of_a_pass_are_guarded_like_a_call(
    link: DiaryLink, raises: type[BaseException] | None, caplog: pytest.LogCaptureFixture
) -> None:
    def end_pass(callbacks: Callbacks) -> None:
        link.on_loop_pass.add(callbacks.first)
        link.on_loop_pass.add(callbacks.second)
        try:
            link._loop._end_pass()
        finally:
            link.on_loop_pass.remove(callbacks.first)
            link.on_loop_pass.remove(callbacks.second)

    expected = effects(lambda callbacks: call_both(link, callbacks), raises, caplog)
    assert effects(end_pass, raises, caplog) == expected


@pytest.mark.parametrize("raises", RAISED)
def test_callbacks_of_reading_are_guarded_like_those_that_tell_calls(
    link: DiaryLink,
    other: DiaryLink,
    raises: type[BaseException] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_open: list[bool] = []

    def tell(callbacks: Callbacks) -> None:
        conn = link.get_socket_by_conn(connect(link, other)[0])
        try:
            link._table.tell(conn, [callbacks.first, callbacks.second], b"x")
        finally:
            is_open.append(conn.conn_id in link._table.connections)

    def read(callbacks: Callbacks) -> None:
        conn = link.get_socket_by_conn(connect(link, other)[0])
        conn.recv = lambda size: b"x"
        link.on_recv.add(callbacks.first)
        link.on_recv.add(callbacks.second)
        try:
            link._receiving.on_readable(conn)
        finally:
            conn.recv = conn.sock.recv
            is_open.append(conn.conn_id in link._table.connections)

    def without_ids(found: Effects) -> Effects:
        calls, *others = found
        assert isinstance(calls, list)
        return [(name, args[1:]) for name, args in calls], *others

    expected = without_ids(effects(tell, raises, caplog))
    assert without_ids(effects(read, raises, caplog)) == expected
    assert is_open[0] == is_open[1]
