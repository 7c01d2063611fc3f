"""Nothing that a callback raises gets further than ``on_error`` and the log."""

from __future__ import annotations

import logging

import pytest

from snakemq._guard import Guard

LOG = logging.getLogger("snakemq.test.guard")


def bad(*_: object, **__: object) -> None:
    raise ValueError("bad")


def test_a_callback_gets_its_arguments() -> None:
    guard: Guard[str] = Guard(LOG)
    got: list[object] = []
    guard.call("conn", lambda *args, **kwargs: got.extend((args, kwargs)), 1, two=2)
    assert got == [(1,), {"two": 2}]


def test_what_a_callback_raises_is_logged_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    guard: Guard[str | None] = Guard(LOG)
    reported: list[tuple[str | None, str]] = []
    guard.on_error.add(lambda conn_id, exc: reported.append((conn_id, str(exc))))
    guard.call("conn", bad)
    guard.call(None, bad)
    assert reported == [("conn", "bad"), (None, "bad")]
    assert caplog.messages == ["conn=conn a callback raised", "conn=None a callback raised"]


def test_what_a_callback_of_on_error_raises_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard: Guard[str] = Guard(LOG)
    guard.on_error.add(bad)
    guard.call("conn", bad)
    assert caplog.messages == ["conn=conn a callback raised", "a callback of on_error raised"]


def test_control_c_in_a_callback_passes() -> None:
    guard: Guard[str] = Guard(LOG)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guard.call("conn", interrupted)
