"""Conformance: timers, wake-ups, and the loop that survives its callbacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sized
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from ._link_pair import Arena, link_check, require

if TYPE_CHECKING:
    from snakemq.link import IdleLink, LendingLink


def in_thread(func: Callable[[], object]) -> None:
    thread = threading.Thread(target=func)
    thread.start()
    thread.join()


def has_items(items: Sized, count: int) -> bool:
    return len(items) >= count


@link_check
def timers_are_called_once_in_order_and_never_early(arena: Arena) -> None:
    link = arena.a.link
    calls: list[tuple[float, float, float]] = []  # due at the earliest, at the latest; called at

    def plan(delay: float) -> None:
        latest = float("inf")
        earliest = link.time() + delay
        link.call_later(delay, lambda: calls.append((earliest, latest, link.time())))
        latest = link.time() + delay

    delays = (0.03, 0.01, 0.0, 0.02, 0.04)
    for delay in delays:
        plan(delay)
    require(not calls, "a timer was called from within call_later")
    arena.until("all timers", lambda: len(calls) >= len(delays))
    arena.settle()
    require(len(calls) == len(delays), f"{len(delays)} timers were called {len(calls)} times")
    for (earliest, _, called), (_, next_latest, _) in pairwise(calls):
        # A busy machine may take its time between two calls of call_later.
        require(earliest <= next_latest, f"called in the wrong order: {calls}")
        # (time + delay) - time may round
        require(called >= earliest - 1e-6, f"called too early: {calls}")


@link_check
def cancelled_timers_are_not_called(arena: Arena) -> None:
    link = arena.a.link
    calls: list[str] = []
    before = link.call_later(0.005, lambda: calls.append("cancelled at once"))
    before.cancel()
    before.cancel()
    link.call_later(0.01, lambda: victim.cancel())
    victim = link.call_later(0.0100001, lambda: calls.append("cancelled by the timer before"))
    fired = link.call_later(0.02, lambda: calls.append("fired"))
    arena.until("the last timer", lambda: "fired" in calls)
    fired.cancel()
    arena.settle()
    require(calls == ["fired"], f"called: {calls}")


@link_check
def timers_can_plan_timers(arena: Arena) -> None:
    link = arena.a.link
    order: list[int] = []

    def step(number: int) -> None:
        if number < 5:
            link.call_later(0, lambda: step(number + 1))
            link.call_later(0.001, lambda: order.append(100 + number))
        order.append(number)

    link.call_later(0, lambda: step(0))
    arena.until("the whole chain", lambda: len(order) == 11)
    chain = [number for number in order if number < 100]
    require(chain == list(range(6)), f"a timer was called from within call_later: {order}")


@link_check
def timers_run_while_nothing_else_happens(arena: Arena) -> None:
    # Both loops are idle; the other link's timer must not depend on the first one's.
    calls: list[str] = []
    arena.a.link.call_later(0.02, lambda: calls.append("a"))
    arena.b.link.call_later(0.01, lambda: calls.append("b"))
    arena.until("both timers", lambda: len(calls) == 2)


@link_check
def wakeup_poll_leads_to_on_loop_pass(arena: Arena) -> None:
    for side in arena.sides:
        link = side.link
        for wake in (link.wakeup_poll, lambda link=link: in_thread(link.wakeup_poll)):
            for _ in range(3):
                passes = side.passes
                wake()
                wake()
                require(side.passes == passes, "on_loop_pass was called from within wakeup_poll")
                arena.until_pass(side, passes)


@link_check
def wakeup_poll_inside_callbacks_leads_to_on_loop_pass(arena: Arena) -> None:
    link = arena.a.link
    again = 5

    def on_loop_pass() -> None:
        nonlocal again
        if again:
            again -= 1
            link.wakeup_poll()

    link.on_loop_pass.add(on_loop_pass)
    link.wakeup_poll()
    arena.until("a pass for each wakeup_poll inside on_loop_pass", lambda: not again)
    passes = arena.a.passes
    arena.until("one more pass", lambda: arena.a.passes > passes)

    seen: list[int] = []

    def timer() -> None:
        in_thread(link.wakeup_poll)  # from outside, while callbacks run
        seen.append(arena.a.passes)

    link.call_later(0, timer)
    arena.until("on_loop_pass after it", lambda: seen and arena.a.passes > seen[0])


@link_check
def on_loop_pass_follows_events(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    passes_at: list[int] = []
    arena.b.link.on_recv.add(lambda *_: passes_at.append(arena.b.passes))
    arena.b.link.on_disconnect.add(lambda *_: passes_at.append(arena.b.passes))
    arena.b.link.on_ready_to_send.add(lambda *_: passes_at.append(arena.b.passes))
    steps: tuple[Callable[[], object], ...] = (
        lambda: arena.a.push(conn_a, b"data"),
        lambda: arena.b.push(conn_b, b"data"),
        lambda: arena.b.link.call_later(0.001, lambda: passes_at.append(arena.b.passes)),
    )
    for count, step in enumerate(steps, start=1):
        step()
        arena.until("the event", partial(has_items, passes_at, count))
        arena.until_pass(arena.b, passes_at[-1])
    arena.until_sent(arena.a, conn_a)
    arena.a.link.close(conn_a)
    arena.until_closed(arena.b, conn_b)
    arena.until_pass(arena.b, passes_at[-1])


@link_check
def in_loop_is_true_inside_callbacks_only(arena: Arena) -> None:
    link = arena.b.link
    inside: dict[str, bool] = {}
    elsewhere: dict[str, bool] = {}

    def look(where: str) -> None:
        inside[where] = link.in_loop()

        def look_from_thread() -> None:
            elsewhere[where] = link.in_loop()

        in_thread(look_from_thread)

    link.on_connect.add(lambda _: look("on_connect"))
    link.on_recv.add(lambda *_: look("on_recv"))
    link.on_ready_to_send.add(lambda *_: look("on_ready_to_send"))
    link.on_disconnect.add(lambda _: look("on_disconnect"))
    link.on_loop_pass.add(lambda: look("on_loop_pass"))
    require(not link.in_loop(), "in_loop() is True before anything runs")
    conn_a, conn_b = arena.connect()
    link.call_later(0, lambda: look("a timer"))
    arena.a.push(conn_a, b"data")
    arena.b.push(conn_b, b"data")
    arena.until("data", lambda: arena.b.received[conn_b] and arena.a.received[conn_a])
    arena.until_sent(arena.a, conn_a)
    arena.until_sent(arena.b, conn_b)
    arena.a.link.close(conn_a)
    arena.until("all callbacks", lambda: len(inside) == 6)
    require(all(inside.values()), f"in_loop() inside callbacks: {inside}")
    require(not any(elsewhere.values()), f"in_loop() in another thread: {elsewhere}")
    require(not link.in_loop(), "in_loop() is True although nothing runs")


@link_check
def run_if_idle_takes_the_place_of_a_loop_that_does_not_run(arena: Arena) -> None:
    if not hasattr(arena.a.link, "run_if_idle"):
        return  # it need not
    link = cast("IdleLink", arena.a.link)
    calls: list[str] = []
    told: list[bool] = []
    require(link.run_if_idle(lambda: calls.append("idle")), "run_if_idle() has refused")
    require(calls == ["idle"], "run_if_idle() has not called the function")

    def in_a_callback() -> None:
        told.append(link.run_if_idle(lambda: calls.append("busy")))

    arena.a.link.call_later(0, in_a_callback)
    arena.until("a timer", lambda: told)
    require(told == [False], "run_if_idle() returned True while the loop runs")
    require(calls == ["idle"], "run_if_idle() has called the function while the loop runs")


@link_check
def the_thread_of_the_loop_can_always_borrow_it(arena: Arena) -> None:
    if not hasattr(arena.a.link, "borrow"):
        return  # it need not
    link = cast("LendingLink", arena.a.link)
    told: list[bool] = []
    refusals: list[RuntimeError] = []

    def borrow_twice() -> None:
        told.extend([link.borrow(), link.borrow()])
        link.give_back()
        link.give_back()

    def give_back_what_is_not_borrowed() -> None:
        try:
            link.give_back()
        except RuntimeError as exc:
            refusals.append(exc)

    arena.a.link.call_later(0, borrow_twice)
    arena.until("a timer", lambda: told)
    require(told == [True, True], "borrow() returned False in the thread of the loop")
    in_thread(give_back_what_is_not_borrowed)
    require(bool(refusals), "give_back() did not raise in a thread that has borrowed nothing")


@link_check
def callbacks_that_raise_stop_nothing(arena: Arena) -> None:
    link = arena.b.link
    raised: list[str] = []

    def bad(name: str) -> Callable[..., None]:
        def callback(*_: object) -> None:
            raised.append(name)
            raise ZeroDivisionError(f"this exception of {name} belongs to the test")

        return callback

    reached: set[str] = set()

    def good(name: str) -> Callable[..., None]:
        return lambda *_: reached.add(name)

    for name in ("on_recv", "on_ready_to_send", "on_disconnect", "on_loop_pass"):
        event = getattr(link, name)
        event.add(bad(name))
        event.add(good(name))
    for _ in range(2):
        conn_a, conn_b = arena.connect()
        link.call_later(0, bad("a timer"))
        link.call_later(0, good("a timer"))
        arena.a.push(conn_a, b"there")
        arena.b.push(conn_b, b"back")
        arena.until_received(arena.b, conn_b, len(b"there"))
        arena.until_received(arena.a, conn_a, len(b"back"))
        arena.until_sent(arena.a, conn_a)
        arena.a.link.close(conn_a)
        arena.until_closed(arena.b, conn_b)
        arena.until("every callback", lambda: len(reached) == 5 and "a timer" in raised)
    # The caller of close must not get what a callback of on_disconnect raises.
    _, conn_b = arena.connect()
    try:
        link.close(conn_b)
    except ZeroDivisionError:
        require(False, "close raised what on_disconnect raised")
    require(len(set(raised)) == 5, f"only these were called: {set(raised)}")


LOOP_CHECKS = (
    timers_are_called_once_in_order_and_never_early,
    cancelled_timers_are_not_called,
    timers_can_plan_timers,
    timers_run_while_nothing_else_happens,
    wakeup_poll_leads_to_on_loop_pass,
    wakeup_poll_inside_callbacks_leads_to_on_loop_pass,
    on_loop_pass_follows_events,
    in_loop_is_true_inside_callbacks_only,
    run_if_idle_takes_the_place_of_a_loop_that_does_not_run,
    the_thread_of_the_loop_can_always_borrow_it,
    callbacks_that_raise_stop_nothing,
)
