"""Conformance: connections from which nothing is read for a while."""

from __future__ import annotations

from random import Random

from ._connection_checks import PIECE, raises_no_connection
from ._link_pair import Arena, link_check, require

WHY, WHY_ELSE = "one reason", "another reason"


@link_check
def a_paused_connection_delivers_nothing_until_it_is_resumed(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    require(arena.b.link.is_reading(conn_b), "a fresh connection is not reading")
    arena.b.link.pause_reading(conn_b, WHY)
    require(not arena.b.link.is_reading(conn_b), "is_reading is true of a paused connection")
    arena.a.push(conn_a, PIECE)
    arena.until_sent(arena.a, conn_a)
    arena.settle()
    require(not arena.b.received[conn_b], "on_recv was called although reading was paused")
    arena.b.link.resume_reading(conn_b, WHY)
    require(not arena.b.received[conn_b], "on_recv was called from within resume_reading")
    require(arena.b.link.is_reading(conn_b), "is_reading is false after resume_reading")
    arena.until_received(arena.b, conn_b, len(PIECE))
    require(arena.b.received[conn_b] == PIECE, "other bytes arrived")


@link_check
def a_paused_connection_still_sends(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    data = bytes(arena.pair.bulk)
    arena.b.link.pause_reading(conn_b, WHY)
    arena.b.push(conn_b, data)
    arena.until_received(arena.a, conn_a, len(data))
    arena.until_sent(arena.b, conn_b)
    arena.a.push(conn_a, PIECE)
    arena.settle()
    require(not arena.b.received[conn_b], "sending has undone the pause")
    arena.b.link.resume_reading(conn_b, WHY)
    arena.until_received(arena.b, conn_b, len(PIECE))


@link_check
def the_peer_of_a_paused_connection_has_to_wait(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    data = Random(2).randbytes(arena.pair.bulk) * 8  # systems grow their buffers as they go
    pauses = iter([WHY])

    def on_recv(conn_id: str, _: bytes) -> None:
        for reason in pauses:
            arena.b.link.pause_reading(conn_id, reason)

    arena.b.link.on_recv.add(on_recv)
    arena.a.push(conn_a, data)
    arena.until("the first bytes", lambda: arena.b.received[conn_b])
    arrived = len(arena.b.received[conn_b])
    arena.settle()
    require(len(arena.b.received[conn_b]) == arrived, "more came after pause_reading")
    require(
        arrived == len(data) or not arena.a.pushed_all(conn_a),
        "everything was taken over although the other side does not read: is the bulk too small?",
    )
    arena.b.link.resume_reading(conn_b, WHY)
    arena.until_received(arena.b, conn_b, len(data))
    require(arena.b.received[conn_b] == data, "other bytes arrived after the pause")


@link_check
def reading_goes_on_when_no_reason_is_left(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    link = arena.b.link
    for reason in (WHY, WHY_ELSE, WHY):
        link.pause_reading(conn_b, reason)
    link.resume_reading(conn_b, "a reason that nobody gave")
    arena.a.push(conn_a, PIECE)
    link.resume_reading(conn_b, WHY)
    arena.settle()
    require(not link.is_reading(conn_b), "resuming for one reason has undone the other")
    require(not arena.b.received[conn_b], "on_recv was called although a reason was left")
    link.resume_reading(conn_b, WHY)
    link.resume_reading(conn_b, WHY_ELSE)
    arena.until_received(arena.b, conn_b, len(PIECE))
    link.resume_reading(conn_b, WHY_ELSE)  # once more, to no effect
    require(arena.b.received[conn_b] == PIECE, "other bytes arrived")


@link_check
def pausing_again_right_after_resuming_delivers_nothing(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    link = arena.b.link
    link.pause_reading(conn_b, WHY)
    arena.a.push(conn_a, PIECE)
    arena.until_sent(arena.a, conn_a)
    link.resume_reading(conn_b, WHY)
    link.pause_reading(conn_b, WHY_ELSE)
    arena.settle()
    require(not arena.b.received[conn_b], "on_recv was called although reading was paused")
    link.resume_reading(conn_b, WHY_ELSE)
    arena.until_received(arena.b, conn_b, len(PIECE))


@link_check
def pause_inside_on_connect(arena: Arena) -> None:
    # Nothing of what came together with the connection itself may slip through, or be forgotten.
    arena.a.link.on_connect.add(lambda conn_id: arena.a.push(conn_id, PIECE))
    arena.b.link.on_connect.add(lambda conn_id: arena.b.link.pause_reading(conn_id, WHY))
    conn_a, conn_b = arena.connect()
    arena.until_sent(arena.a, conn_a)
    arena.settle()
    require(not arena.b.received[conn_b], "on_recv was called although reading was paused")
    arena.b.link.resume_reading(conn_b, WHY)
    arena.until_received(arena.b, conn_b, len(PIECE))


@link_check
def the_end_of_a_paused_connection_comes_after_its_data(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    arena.b.link.pause_reading(conn_b, WHY)
    arena.a.push(conn_a, PIECE)
    arena.until_sent(arena.a, conn_a)
    arena.a.link.close(conn_a)
    arena.settle()
    require(conn_b in arena.b.open, "on_disconnect came before the data was read")
    arena.b.link.resume_reading(conn_b, WHY)
    arena.until_closed(arena.b, conn_b)
    require(arena.b.received[conn_b] == PIECE, "what was taken over was lost")


@link_check
def a_paused_connection_can_be_closed(arena: Arena) -> None:
    conn_a, conn_b = arena.connect()
    link = arena.b.link
    link.pause_reading(conn_b, WHY)
    arena.a.push(conn_a, PIECE)
    arena.settle()
    link.close(conn_b)
    require(arena.b.events["on_disconnect", conn_b] == 1, "close did not call on_disconnect")
    for call in (
        lambda: link.pause_reading(conn_b, WHY),
        lambda: link.resume_reading(conn_b, WHY),
        lambda: link.is_reading(conn_b),
        lambda: link.is_reading("no such connection"),
    ):
        require(raises_no_connection(call), "no NoConnection for a connection that is closed")
    arena.until_closed(arena.a, conn_a)
    require(not arena.b.received[conn_b], "on_recv was called although reading was paused")


@link_check
def others_are_read_while_one_is_paused(arena: Arena) -> None:
    (paused_a, paused_b), (conn_a, conn_b) = arena.connect(), arena.connect()
    arena.b.link.pause_reading(paused_b, WHY)
    for sender in (paused_a, conn_a):
        arena.a.push(sender, PIECE)
    arena.until_received(arena.b, conn_b, len(PIECE))
    arena.settle()
    require(not arena.b.received[paused_b], "on_recv was called for the paused connection")
    arena.b.link.resume_reading(paused_b, WHY)
    arena.until_received(arena.b, paused_b, len(PIECE))


PAUSE_CHECKS = (
    a_paused_connection_delivers_nothing_until_it_is_resumed,
    a_paused_connection_still_sends,
    the_peer_of_a_paused_connection_has_to_wait,
    reading_goes_on_when_no_reason_is_left,
    pausing_again_right_after_resuming_delivers_nothing,
    pause_inside_on_connect,
    the_end_of_a_paused_connection_comes_after_its_data,
    a_paused_connection_can_be_closed,
    others_are_read_while_one_is_paused,
)
