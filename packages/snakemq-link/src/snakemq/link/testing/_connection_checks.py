"""Conformance: the life of connections."""

from __future__ import annotations

from collections.abc import Callable

from snakemq.exceptions import NoConnection

from ._link_pair import Arena, Side, link_check, require

PIECE = b"snake" * 20


def raises_no_connection(call: Callable[[], object]) -> bool:
    try:
        call()
    except NoConnection:
        return True
    return False


@link_check
def on_connect_is_called_once_on_both_sides(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    arena.settle()
    for side, conn_id in ((arena.a, conn_a), (arena.b, conn_b)):
        require(
            side.events["on_connect", conn_id] == 1,
            f"{side.name}: on_connect called {side.events['on_connect', conn_id]} times",
        )


@link_check
def ids_of_connections_are_not_reused(arena: Arena) -> None:
    seen: tuple[set[str], set[str]] = set(), set()
    for _ in range(4):
        ids = arena.connect()
        for side, known, conn_id in zip(arena.sides, seen, ids, strict=True):
            require(conn_id not in known, f"{side.name}: the id {conn_id!r} was used before")
            known.add(conn_id)
        arena.a.link.close(ids[0])
        arena.until_closed(arena.b, ids[1])


@link_check
def close_calls_on_disconnect_once_before_it_returns(arena: Arena) -> None:
    for closing, other in ((arena.a, arena.b), (arena.b, arena.a)):
        conn_a, conn_b = arena.connect()
        ours, theirs = (conn_a, conn_b) if closing is arena.a else (conn_b, conn_a)
        closing.link.close(ours)
        calls = closing.events["on_disconnect", ours]
        require(calls == 1, f"on_disconnect called {calls} times when close returned, not once")
        arena.until_closed(other, theirs)
        arena.settle()
        require(closing.events["on_disconnect", ours] == 1, "on_disconnect came again later")
        require(other.events["on_disconnect", theirs] == 1, "on_disconnect came twice")


@link_check
def what_was_taken_over_arrives_before_on_disconnect(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    data = PIECE * 100
    arena.settle()
    arena.a.push(conn_a, data)
    arena.until_sent(arena.a, conn_a)
    arena.a.link.close(conn_a)
    arena.until_closed(arena.b, conn_b)
    arrived = arena.b.received[conn_b]
    require(
        arrived == data,
        f"{len(data)} bytes were taken over before close, {len(arrived)} arrived before the end",
    )


@link_check
def nothing_happens_on_a_closed_connection(arena: Arena) -> None:
    # Both directions are in full swing; the sides watch for events after the end.
    conn_a, conn_b = arena.connect()
    data = bytes(arena.pair.bulk)
    arena.a.push(conn_a, data)
    arena.b.push(conn_b, data)
    arena.until("something arrives", lambda: arena.a.received[conn_a])
    arena.a.link.close(conn_a)
    arena.until_closed(arena.b, conn_b)
    # A send that is not reported yet, too.
    conn_a, conn_b = arena.connect()
    arena.a.send(conn_a, PIECE)
    arena.a.link.close(conn_a)
    arena.until_closed(arena.b, conn_b)
    arena.settle()


@link_check
def unknown_connections_raise_no_connection(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    for unknown in ("no such connection", ""):
        for call in (
            lambda unknown=unknown: arena.a.link.send(unknown, PIECE),
            lambda unknown=unknown: arena.a.link.close(unknown),
        ):
            require(raises_no_connection(call), f"no NoConnection for the id {unknown!r}")

    inside: list[bool] = []

    def on_disconnect(conn_id: str) -> None:
        inside.append(raises_no_connection(lambda: arena.b.link.send(conn_id, PIECE)))
        inside.append(raises_no_connection(lambda: arena.b.link.close(conn_id)))

    arena.b.link.on_disconnect.add(on_disconnect)
    arena.a.link.close(conn_a)
    arena.until_closed(arena.b, conn_b)
    require(inside == [True, True], "the id is still known inside on_disconnect")
    for side, conn_id in ((arena.a, conn_a), (arena.b, conn_b)):
        link = side.link
        for call in (
            lambda link=link, conn_id=conn_id: link.send(conn_id, PIECE),
            lambda link=link, conn_id=conn_id: link.close(conn_id),
        ):
            require(raises_no_connection(call), f"{side.name}: no NoConnection after the end")


def close_once(side: Side) -> Callable[..., None]:
    """A callback that closes the first connection that it is called for."""
    done: list[str] = []

    def close(conn_id: str, *_: object) -> None:
        if not done:
            done.append(conn_id)
            side.link.close(conn_id)

    return close


@link_check
def close_inside_on_connect(arena: Arena) -> None:
    for closing in arena.sides:
        callback = close_once(closing)
        closing.link.on_connect.add(callback)
        conn_a, conn_b = arena.connect()
        arena.until_closed(arena.a, conn_a)
        arena.until_closed(arena.b, conn_b)
        closing.link.on_connect.remove(callback)


@link_check
def connection_is_closed_if_a_callback_of_on_connect_raises(arena: Arena) -> None:
    """The callback may have been a check, so fail closed, before anything is received or sent."""
    for closing in arena.sides:

        def check(conn_id: str) -> None:
            raise ZeroDivisionError("this exception of on_connect belongs to the test")

        closing.link.on_connect.add(check)
        conn_a, conn_b = arena.connect()
        arena.until_closed(arena.a, conn_a)
        arena.until_closed(arena.b, conn_b)
        closing.link.on_connect.remove(check)


@link_check
def callbacks_after_a_close_inside_on_connect_are_not_called(arena: Arena) -> None:
    # It would believe in a connection whose on_disconnect has been called already.
    later: list[str] = []
    arena.b.link.on_connect.add(close_once(arena.b))
    arena.b.link.on_connect.add(later.append)
    for expected in (0, 1):
        _, conn_b = arena.connect()
        arena.settle()
        require(
            len(later) == expected,
            "on_connect went on although the connection was closed" if later else "not called",
        )
    require(later == [conn_b], f"on_connect was called for {later}")


@link_check
def close_inside_on_recv(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    arena.b.link.on_recv.add(close_once(arena.b))
    arena.a.push(conn_a, bytes(arena.pair.bulk))
    arena.until_closed(arena.b, conn_b)
    require(arena.b.received[conn_b], "on_recv was not called")
    arena.until_closed(arena.a, conn_a)


@link_check
def close_inside_on_ready_to_send(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    arena.a.link.on_ready_to_send.add(close_once(arena.a))
    arena.a.send(conn_a, PIECE)
    arena.until_closed(arena.a, conn_a)
    arena.until_closed(arena.b, conn_b)


@link_check
def close_of_another_connection_inside_on_disconnect(arena: Arena) -> None:
    first, second = arena.connect(), arena.connect()
    arena.a.link.on_disconnect.add(
        lambda conn_id: arena.a.link.close(second[0]) if conn_id == first[0] else None
    )
    arena.a.link.close(first[0])
    require(not arena.a.open, "close inside on_disconnect did not report the other connection")
    arena.until_closed(arena.b, first[1])
    arena.until_closed(arena.b, second[1])


@link_check
def close_inside_timers_and_on_loop_pass(arena: Arena) -> None:
    first, second = arena.connect(), arena.connect()
    arena.a.link.call_later(0, lambda: arena.a.link.close(first[0]))
    arena.until_closed(arena.b, first[1])

    def on_loop_pass() -> None:
        if second[0] in arena.a.open:
            arena.a.link.close(second[0])

    arena.a.link.on_loop_pass.add(on_loop_pass)
    arena.a.link.wakeup_poll()
    arena.until_closed(arena.b, second[1])


@link_check
def the_end_of_one_connection_leaves_the_others_alone(arena: Arena) -> None:
    pairs = [arena.connect() for _ in range(4)]
    data = {conn_a: conn_a.encode() + bytes(5000) for conn_a, _ in pairs}
    for conn_a, _ in pairs:
        arena.a.push(conn_a, data[conn_a])
    arena.a.link.close(pairs[1][0])
    for conn_a, conn_b in (pairs[0], *pairs[2:]):
        arena.until_received(arena.b, conn_b, len(data[conn_a]))
        require(arena.b.received[conn_b] == data[conn_a], "other bytes arrived")
    arena.until_closed(arena.b, pairs[1][1])
    require(len(arena.a.open) == len(arena.b.open) == 3, "other connections were closed as well")


CONNECTION_CHECKS = (
    on_connect_is_called_once_on_both_sides,
    ids_of_connections_are_not_reused,
    close_calls_on_disconnect_once_before_it_returns,
    what_was_taken_over_arrives_before_on_disconnect,
    nothing_happens_on_a_closed_connection,
    unknown_connections_raise_no_connection,
    close_inside_on_connect,
    connection_is_closed_if_a_callback_of_on_connect_raises,
    callbacks_after_a_close_inside_on_connect_are_not_called,
    close_inside_on_recv,
    close_inside_on_ready_to_send,
    close_of_another_connection_inside_on_disconnect,
    close_inside_timers_and_on_loop_pass,
    the_end_of_one_connection_leaves_the_others_alone,
)
