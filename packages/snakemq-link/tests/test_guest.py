"""A link as the guest of another event loop, which sleeps in its place."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest
from real_links import DEADLINE, LOCALHOST, DiaryLink

from snakemq.exceptions import LoopError

pytestmark = pytest.mark.skipif(not hasattr(select, "poll"), reason="needs a file descriptor")


@pytest.fixture
def guest(link: DiaryLink) -> Iterator[DiaryLink]:
    link.attach()
    yield link
    link.detach()


def is_readable(link: DiaryLink, seconds: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(link.fileno(), select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def sleep(link: DiaryLink) -> None:
    """Sleep as a host does: until the descriptor is readable, or the deadline has come."""
    deadline = link.next_deadline()
    seconds = DEADLINE if deadline is None else max(0.0, deadline - link.time())
    if not is_readable(link, seconds):
        assert deadline is not None, "nothing has woken the host"


def settle(link: DiaryLink) -> None:
    while link.next_deadline() is not None or is_readable(link):
        link.run_ready()


def test_data_comes_and_goes(guest: DiaryLink, other: DiaryLink) -> None:
    other.attach()
    other.add_connector(guest.add_listener(LOCALHOST))
    while not (guest.connected and other.connected):
        guest.run_ready()
        other.run_ready()
    other.send(other.connected[0], b"hello")
    other.run_ready()
    here = guest.connected[0]
    while guest.received.get(here) != b"hello":
        sleep(guest)
        guest.run_ready()
    other.detach()


def test_timer_moves_the_deadline(guest: DiaryLink) -> None:
    settle(guest)
    assert guest.next_deadline() is None
    told: list[str] = []
    guest.call_later(0.001, lambda: told.append("timer"))
    while not told:
        sleep(guest)
        guest.run_ready()
    settle(guest)
    assert guest.next_deadline() is None


def test_call_of_another_thread_wakes_the_host(guest: DiaryLink) -> None:
    settle(guest)
    called: list[int] = []
    thread = threading.Thread(
        target=guest.call_from_thread, args=(lambda: called.append(threading.get_ident()),)
    )
    thread.start()
    while not called:
        sleep(guest)
        guest.run_ready()
    thread.join(DEADLINE)
    assert called == [threading.get_ident()]


def test_what_is_begun_between_two_passes_wakes_the_host(guest: DiaryLink) -> None:
    settle(guest)
    assert guest.in_loop()
    guest.wakeup_poll()
    assert is_readable(guest)


def test_tasks_between_the_halves_of_a_pass_wake_nobody(guest: DiaryLink) -> None:
    settle(guest)
    told: list[str] = []
    guest.on_loop_pass.add(lambda: told.append("pass"))
    guest.begin_pass(poll=False)
    guest.wakeup_poll()
    assert not is_readable(guest)
    assert told == []
    assert guest.end_pass()
    assert told == ["pass"]


def test_no_other_thread_borrows_the_loop(guest: DiaryLink) -> None:
    borrowed: list[bool] = []
    thread = threading.Thread(target=lambda: borrowed.append(guest.borrow()))
    thread.start()
    thread.join(DEADLINE)
    assert borrowed == [False]
    assert guest.borrow()
    guest.give_back()


def test_stop_and_cleanup_end_the_passes(guest: DiaryLink) -> None:
    assert guest.run_ready()
    guest.stop()
    assert guest.next_deadline() is not None
    assert not guest.run_ready()
    guest.detach()
    guest.loop(runtime=0.0)  # it can run by itself now
    guest.attach()
    guest.cleanup()
    assert not guest.run_ready()


def test_cleanup_lets_the_layers_send_first(guest: DiaryLink) -> None:
    told: list[str] = []
    guest.on_loop_pass.add_internal(lambda: told.append("pass"))
    guest.on_closing.add(lambda: told.append("closing"))
    guest.on_closed.add(lambda: told.append("closed"))
    guest.cleanup()
    assert told == ["closing", "pass", "closed"]


def test_another_thread_cleans_up_while_the_host_goes_on(guest: DiaryLink) -> None:
    thread = threading.Thread(target=guest.cleanup)
    thread.start()
    while guest.run_ready():
        sleep(guest)
    guest.detach()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_one_thread_has_it_at_a_time(guest: DiaryLink, other: DiaryLink) -> None:
    with pytest.raises(LoopError, match="in this thread"):
        guest.attach()
    with pytest.raises(LoopError):
        guest.loop()
    for use in (other.run_ready, other.end_pass, other.begin_pass):
        with pytest.raises(LoopError, match="to none"):
            use()
    errors: list[LoopError] = []

    def run() -> None:
        try:
            guest.attach()
        except LoopError as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE)
    assert [str(error) for error in errors] == ["the loop is running already, in another thread"]
    other.detach()  # it was not attached: nothing happens
