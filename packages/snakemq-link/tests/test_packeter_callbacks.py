"""Whatever is done inside the callbacks of a packeter: send, close, raise, interrupt."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from memory_packeters import DiaryPacketer, Pair, framed

from snakemq.exceptions import NoConnection
from snakemq.link.testing import MemoryNetwork
from snakemq.packeter._framing import BLOCK_SIZE


def test_send_inside_every_callback(pair: Pair) -> None:
    def say(what: bytes) -> Callable[..., None]:
        said: set[str] = set()

        def callback(conn_id: str, *_: object) -> None:
            if conn_id not in said:
                said.add(conn_id)
                pair.a.send_packet(conn_id, what)

        return callback

    pair.a.on_connect.add(say(b"on_connect"))
    pair.a.on_packet_recv.add(say(b"on_packet_recv"))
    pair.a.on_packets_recv.add(say(b"on_packets_recv"))
    pair.a.on_packet_sent.add(say(b"on_packet_sent"))
    pair.a.on_packets_sent.add(say(b"on_packets_sent"))
    pair.link_a.on_loop_pass.add(lambda: [say_in_pass(conn_id) for conn_id in pair.a._connections])
    say_in_pass = say(b"on_loop_pass")
    _, at_b = pair.connect()
    pair.b.send_packet(at_b, b"x")
    pair.run()
    assert sorted(pair.b.received[at_b]) == [
        b"on_connect",
        b"on_loop_pass",
        b"on_packet_recv",
        b"on_packet_sent",
        b"on_packets_recv",
        b"on_packets_sent",
    ]


def test_echo_of_large_packets_inside_on_packet_recv(pair: Pair) -> None:
    pair.b.on_packet_recv.add(lambda conn_id, packet: pair.b.send_packet(conn_id, packet))
    packets = [bytes([number]) * (BLOCK_SIZE + number) for number in range(5)]
    for packet in packets:
        pair.a.send_packet(pair.at_a, packet)
    pair.run()
    assert pair.a.received[pair.at_a] == packets


def test_send_on_a_connection_inside_its_on_disconnect_is_refused(pair: Pair) -> None:
    refused: list[str] = []

    def on_disconnect(conn_id: str) -> None:
        with pytest.raises(NoConnection):
            pair.a.send_packet(conn_id, b"x")
        refused.append(conn_id)

    pair.a.on_disconnect.add(on_disconnect)
    pair.link_a.close(pair.at_a)
    assert refused == [pair.at_a]


@pytest.mark.parametrize("event", ["on_packet_recv", "on_packets_recv"])
def test_close_inside_a_receiving_callback_ends_the_batch(pair: Pair, event: str) -> None:
    getattr(pair.b, event).add(lambda conn_id, _: pair.link_b.close(conn_id))
    for packet in (b"1", b"2", b"3"):
        pair.a.send_packet(pair.at_a, packet)
    pair.run()
    assert pair.b.received[pair.at_b] == ([b"1"] if event == "on_packet_recv" else [])
    assert pair.b.disconnected == [pair.at_b]
    assert not pair.network.errors


@pytest.mark.parametrize("event", ["on_packet_sent", "on_packets_sent"])
def test_close_inside_a_sending_callback_ends_the_reports(pair: Pair, event: str) -> None:
    getattr(pair.a, event).add(lambda conn_id, _: pair.link_a.close(conn_id))
    ids = [pair.a.send_packet(pair.at_a, packet) for packet in (b"1", b"2", b"3")]
    pair.run()
    assert pair.a.sent[pair.at_a] == (ids[:1] if event == "on_packet_sent" else [])
    assert pair.a.disconnected == [pair.at_a]
    assert not pair.network.errors


def test_close_inside_on_connect_keeps_it_from_later_callbacks(network: MemoryNetwork) -> None:
    link = network.link("a")
    packeter = DiaryPacketer(link)
    packeter.on_connect.callbacks = (link.close, *packeter.on_connect.callbacks)
    network.connect(link, network.link("b"))
    network.run_until_idle()
    assert packeter.connected == []
    assert packeter._connections == {}
    assert not network.errors


def test_an_on_connect_that_always_raises_is_logged_once_a_minute(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    packeter = DiaryPacketer(network.link("a"))
    other = network.link("b")

    def check(conn_id: str) -> None:
        raise ZeroDivisionError("no check")

    packeter.on_connect.add(check)

    def come(count: int) -> None:
        for _ in range(count):
            network.connect(other, packeter.link)  # type: ignore[arg-type]
            network.run_until_idle()

    come(3)
    assert caplog.text.count("ZeroDivisionError: no check\n") == 1
    network.advance(60.0)
    come(1)
    assert caplog.text.count("ZeroDivisionError: no check\n") == 2
    assert "a callback of on_connect raised (and 2 times more that were not logged)" in caplog.text
    assert len(packeter.disconnected) == len(packeter.errors) == 4
    assert not other.connections


def test_close_inside_on_error(network: MemoryNetwork) -> None:
    pair = Pair(network, max_packet_size=10)
    pair.b.on_error.add(lambda conn_id, _: pair.link_b.close(conn_id))
    pair.a.send_packet(pair.at_a, bytes(11))
    pair.run()
    assert pair.b.disconnected == [pair.at_b]
    assert not network.errors


def test_close_with_packets_queued(pair: Pair) -> None:
    pair.a.send_packet(pair.at_a, b"x")
    pair.link_a.close(pair.at_a)
    pair.run()
    assert not pair.network.errors
    assert not pair.a.sent


@pytest.mark.parametrize("event", ["on_packet_recv", "on_packets_recv"])
def test_exception_of_a_receiving_callback_is_reported_and_stops_nothing(
    pair: Pair, event: str
) -> None:
    def bad(*_: object) -> None:
        raise ZeroDivisionError

    getattr(pair.b, event).add(bad)
    for packet in (b"1", b"2"):
        pair.a.send_packet(pair.at_a, packet)
    pair.run()
    assert pair.b.received[pair.at_b] == [b"1", b"2"]
    assert {type(error) for _, error in pair.b.errors} == {ZeroDivisionError}
    assert not pair.b.disconnected
    assert not pair.network.errors


@pytest.mark.parametrize("event", ["on_packet_sent", "on_packets_sent"])
def test_exception_of_a_sending_callback_is_reported_and_no_report_is_lost(
    pair: Pair, event: str
) -> None:
    def bad(*_: object) -> None:
        raise ZeroDivisionError

    getattr(pair.a, event).add(bad)
    ids = [pair.a.send_packet(pair.at_a, packet) for packet in (b"1", b"2", b"3")]
    pair.run()
    assert pair.a.sent[pair.at_a] == ids
    assert {type(error) for _, error in pair.a.errors} == {ZeroDivisionError}
    assert len(pair.b.received[pair.at_b]) == 3


def test_exception_of_on_error_does_no_harm(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(*_: object) -> None:
        raise ZeroDivisionError

    pair = Pair(network, max_packet_size=10)
    pair.b.on_error.add(bad)
    pair.a.send_packet(pair.at_a, bytes(11))
    pair.run()
    assert pair.b.disconnected == [pair.at_b]
    assert "on_error raised" in caplog.text


def test_interrupted_pass_leaves_no_connection_behind(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_a, other_b = pair.connect()
    pair.a.send_packet(pair.at_a, b"1")
    pair.a.send_packet(other_a, b"2")

    def interrupted(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(pair.a._sending, "at_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pair.run()
    pair.a.send_packet(other_a, b"3")
    pair.link_a.wakeup_poll()
    pair.run()
    assert pair.b.received[other_b] == [b"2", b"3"]


def test_packeter_that_is_built_later_leaves_older_connections_alone(
    network: MemoryNetwork,
) -> None:
    link, other = network.link("a"), network.link("b")
    at_link, at_other = network.connect(link, other)
    network.run_until_idle()
    packeter = DiaryPacketer(link)
    other.send(at_other, framed(b"x"))
    link.send(at_link, b"x")
    network.run_until_idle()
    link.close(at_link)
    network.run_until_idle()
    assert not packeter.received
    assert not packeter.disconnected
    assert not network.errors


def test_a_pause_inside_a_callback_lets_through_what_has_been_read(pair: Pair) -> None:
    pair.b.on_packet_recv.add(lambda conn_id, _: pair.link_b.pause_reading(conn_id, "busy"))
    for packet in (b"one", b"two", b"three"):
        pair.a.send_packet(pair.at_a, packet)
    pair.run()
    assert pair.b.received[pair.at_b] == [b"one", b"two", b"three"]
    pair.a.send_packet(pair.at_a, b"four")
    pair.run()
    assert pair.b.received[pair.at_b][3:] == []
    pair.link_b.resume_reading(pair.at_b, "busy")
    pair.run()
    assert pair.b.received[pair.at_b][3:] == [b"four"]
