"""Conformance: sending and receiving."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from snakemq.exceptions import SendNotFinished
from snakemq.link._interface import BytesLike

from ._connection_checks import raises_no_connection
from ._link_pair import Arena, link_check, require


@link_check
def bytes_arrive_exactly_and_in_order(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    random = Random(1)
    sizes = [1, 2, 3, 255, 1024, arena.pair.bulk + 1, 1]
    there = [random.randbytes(size) for size in sizes]
    back = [random.randbytes(size) for size in reversed(sizes)]
    for piece_there, piece_back in zip(there, back, strict=True):
        arena.a.push(conn_a, piece_there)
        arena.b.push(conn_b, piece_back)
    for side, conn_id, pieces in ((arena.b, conn_b, there), (arena.a, conn_a, back)):
        expected = b"".join(pieces)
        arena.until_received(side, conn_id, len(expected))
        require(side.received[conn_id] == expected, f"other bytes arrived on {side.name}")


@link_check
def all_kinds_of_bytes_can_be_sent(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    text = b"0123456789" * 50
    kinds: tuple[BytesLike, ...] = (
        text,
        bytearray(text),
        memoryview(text),
        memoryview(bytearray(text)),
        memoryview(b"xx" + text + b"yy")[2:-2],
    )
    for count, data in enumerate(kinds, start=1):
        arena.a.push(conn_a, data)
        arena.until_received(arena.b, conn_b, count * len(text))
    require(arena.b.received[conn_b] == text * len(kinds), "other bytes arrived")


@link_check
def on_ready_to_send_is_called_later_and_once_for_each_send(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    reports: list[int] = []
    arena.a.link.on_ready_to_send.add(lambda _, sent: reports.append(sent))
    for count, size in enumerate((1, 2, 1000, arena.pair.bulk), start=1):
        arena.a.send(conn_a, bytes(size))
        require(len(reports) < count, "on_ready_to_send was called from within send")
        arena.until_sent(arena.a, conn_a)
        arena.settle()
        require(
            len(reports) == count,
            f"on_ready_to_send was called {len(reports)} times for {count} sends",
        )
        require(1 <= reports[-1] <= size, f"sent {reports[-1]} of {size} bytes")
    total = sum(reports)
    arena.until_received(arena.b, conn_b, total)
    arena.settle()
    arrived = len(arena.b.received[conn_b])
    require(arrived == total, f"{total} bytes were sent and {arrived} arrived")


@link_check
def a_send_before_the_last_one_is_finished_raises(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    arena.a.push(conn_a, b"first")
    try:
        arena.a.link.send(conn_a, b"too early")
    except SendNotFinished:
        pass
    else:
        require(False, "the second send did not raise SendNotFinished")
    arena.until_sent(arena.a, conn_a)
    arena.a.push(conn_a, b"second")
    arena.until_received(arena.b, conn_b, len(b"firstsecond"))
    require(arena.b.received[conn_b] == b"firstsecond", "the refused send had an effect")


@link_check
def connections_send_independently(arena: Arena) -> None:
    pairs = [arena.connect() for _ in range(5)]
    for number, (conn_a, conn_b) in enumerate(pairs):
        # all at once: a send on one must not be in the way of a send on another
        arena.a.push(conn_a, bytes([number]) * 3000)
        arena.b.push(conn_b, bytes([100 + number]) * 3000)
    for number, (conn_a, conn_b) in enumerate(pairs):
        for side, conn_id, expected in (
            (arena.b, conn_b, bytes([number]) * 3000),
            (arena.a, conn_a, bytes([100 + number]) * 3000),
        ):
            arena.until_received(side, conn_id, 3000)
            require(side.received[conn_id] == expected, "bytes of another connection arrived")


@link_check
def empty_data_raises_value_error(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    for nothing in (b"", bytearray(), memoryview(b"")):
        try:
            arena.a.link.send(conn_a, nothing)
        except ValueError:
            continue
        require(False, f"no ValueError for an empty {type(nothing).__name__}")
    arena.settle()
    require(not arena.a.events["on_ready_to_send", conn_a], "the refused send was reported")
    arena.a.push(conn_a, b"x")
    arena.until("data after the refused sends", lambda: arena.b.received[conn_b] == b"x")


@link_check
def anything_but_bytes_raises_type_error(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    wrong: tuple[Any, ...] = ("text", 5, None, [1, 2, 3])
    for data in wrong:
        try:
            arena.a.link.send(conn_a, data)
        except TypeError:
            continue
        require(False, f"no TypeError for {data!r}")
    arena.settle()
    arena.a.push(conn_a, b"x")
    arena.until("data after the refused sends", lambda: arena.b.received[conn_b] == b"x")


@link_check
def send_works_inside_the_callbacks(arena: Arena) -> None:
    # b greets inside on_connect, a answers each byte inside on_recv, and b goes on inside
    # on_ready_to_send (that is how push works).
    greeting = b"hello" * 200
    arena.b.link.on_connect.add(lambda conn_id: arena.b.push(conn_id, greeting))
    arena.a.link.on_recv.add(lambda conn_id, data: arena.a.push(conn_id, data.upper()))
    _, conn_b = arena.connect()
    arena.until_received(arena.b, conn_b, len(greeting))
    require(arena.b.received[conn_b] == greeting.upper(), "another echo arrived")


@link_check
def send_works_inside_timers_and_on_loop_pass(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    arena.a.link.call_later(0, lambda: arena.a.push(conn_a, b"timer"))
    arena.until("a send of a timer", lambda: arena.b.received[conn_b] == b"timer")
    once = iter((b"+pass",))

    def on_loop_pass() -> None:
        for data in once:
            arena.a.push(conn_a, data)

    arena.a.link.on_loop_pass.add(on_loop_pass)
    arena.a.link.wakeup_poll()
    arena.until("a send of on_loop_pass", lambda: arena.b.received[conn_b] == b"timer+pass")


@link_check
def a_send_to_a_peer_that_has_closed_does_not_raise(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    arena.b.link.close(conn_b)
    # a has not run since then and cannot know. More than once, as a system notices it late.
    arena.a.push(conn_a, bytes(arena.pair.bulk))
    arena.until_closed(arena.a, conn_a)


@link_check
def unsent_bytes_end_at_zero_if_the_link_can_tell_them(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    tell: Callable[[str], int | None] | None = getattr(arena.a.link, "unsent_bytes", None)
    if tell is None or tell(conn_a) is None:
        return
    arena.a.push(conn_a, bytes(arena.pair.bulk))
    arena.until_received(arena.b, conn_b, arena.pair.bulk)
    arena.b.push(conn_b, b"x")  # its acknowledgement of the rest comes along at the latest
    arena.until_received(arena.a, conn_a, 1)
    require(tell(conn_a) == 0, f"{tell(conn_a)} bytes are unsent after all have arrived")
    arena.a.link.close(conn_a)
    require(raises_no_connection(lambda: tell(conn_a)), "no NoConnection after close")
    arena.until_closed(arena.b, conn_b)


DATA_CHECKS = (
    bytes_arrive_exactly_and_in_order,
    all_kinds_of_bytes_can_be_sent,
    on_ready_to_send_is_called_later_and_once_for_each_send,
    a_send_before_the_last_one_is_finished_raises,
    connections_send_independently,
    empty_data_raises_value_error,
    anything_but_bytes_raises_type_error,
    send_works_inside_the_callbacks,
    send_works_inside_timers_and_on_loop_pass,
    a_send_to_a_peer_that_has_closed_does_not_raise,
    unsent_bytes_end_at_zero_if_the_link_can_tell_them,
)
