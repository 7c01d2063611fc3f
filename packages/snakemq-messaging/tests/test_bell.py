"""A bell wakes exactly the threads that it rings for."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

import pytest

from snakemq.queues.parts._bell import Bell


def test_a_bell_rings_for_threads_that_wait_or_will_wait() -> None:
    bell = Bell()
    bell.ring()
    bell.ring_for_the_last(3)
    assert [bell.wait() for _ in range(4)] == [False, False, False, True]


def test_each_thread_is_woken_once_and_one_of_them_is_the_last() -> None:
    bell = Bell()
    heard: list[bool] = []
    threads = [threading.Thread(target=lambda: heard.append(bell.wait())) for _ in range(20)]
    for thread in threads:
        thread.start()
    bell.ring_for_the_last(20)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert sorted(heard) == [False] * 19 + [True]


def test_a_bell_closes_its_descriptors() -> None:
    bell = Bell()
    descriptors = bell._reader, bell._writer
    del bell
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_a_bell_that_could_not_be_made_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe() -> tuple[int, int]:
        raise OSError("too many open files")

    monkeypatch.setattr(os, "pipe", pipe)
    with suppress(OSError):
        Bell()  # a warning about an error in __del__ would fail this test
