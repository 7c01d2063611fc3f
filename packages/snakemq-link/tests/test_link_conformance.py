"""Every link passes the same checks; and each check fails for a link that deserves it."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

import pytest
import trustme

from snakemq.exceptions import SendNotFinished
from snakemq.link import BytesLike, Link, LinkInterface, SSLConfig
from snakemq.link._loop._selector_poller import SelectorPoller
from snakemq.link.testing import (
    LINK_CHECKS,
    LinkCheck,
    LinkPair,
    MemoryLink,
    MemoryNetwork,
    byte_by_byte,
    check_link,
)
from snakemq.link.testing._machine import Machine
from snakemq.throttle import Throttle

MEBI = 1024 * 1024

Wrap = Callable[[LinkInterface], LinkInterface]


def bare(link: LinkInterface) -> LinkInterface:
    return link


def throttled(link: LinkInterface) -> LinkInterface:
    return Throttle(link, 200 * MEBI)


class MemoryPair:
    def __init__(
        self,
        network: MemoryNetwork,
        *,
        kinds: tuple[type[MemoryLink], type[MemoryLink]] = (MemoryLink, MemoryLink),
        wrap: Wrap = bare,
        bulk: int = MEBI + 17,
    ) -> None:
        self.network = network
        self.links = kinds[0](network, "a"), kinds[1](network, "b")
        self.a, self.b = map(wrap, self.links)
        self.bulk = bulk

        self.connected: tuple[list[str], list[str]] = [], []
        for link, connected in zip((self.a, self.b), self.connected, strict=True):
            link.on_connect.add(connected.append)

    def connect(self) -> tuple[str, str]:
        self.network.connect(*self.links)
        self.network.run_until_idle()
        # what on_connect says, to catch a link that lies
        return self.connected[0][-1], self.connected[1][-1]

    def run(self, predicate: Callable[[], bool], timeout: float) -> None:
        self.network.run_until(predicate, timeout)

    def close(self) -> None:
        pass


class SocketPair:
    """Two links over real sockets, run by turns in one thread."""

    def __init__(
        self,
        new_address: Callable[[], tuple[str, int] | str],
        *,
        listener_ssl: SSLConfig | None = None,
        connector_ssl: SSLConfig | None = None,
        wrap: Wrap = bare,
    ) -> None:
        self.links = Link(), Link()
        self.a, self.b = map(wrap, self.links)
        self.bulk = 2 * MEBI + 17
        self.new_address = new_address
        self.listener_ssl = listener_ssl
        self.connector_ssl = connector_ssl
        self.connected: tuple[list[str], list[str]] = [], []
        for link, connected in zip((self.a, self.b), self.connected, strict=True):
            link.on_connect.add(connected.append)

    def connect(self) -> tuple[str, str]:
        listening, dialling = self.links[1], self.links[0]
        address = listening.add_listener(self.new_address(), self.listener_ssl)
        connector = dialling.add_connector(address, ssl_config=self.connector_ssl)
        made = len(self.connected[0])
        self.run(lambda: all(len(connected) > made for connected in self.connected), 10)
        conn_a, conn_b = (connected[made] for connected in self.connected)
        listening.del_listener(address)

        def forget(conn_id: str) -> None:
            if conn_id == conn_a:
                with contextlib.suppress(KeyError):  # cleanup() has removed it
                    dialling.del_connector(connector)

        self.a.on_disconnect.add(forget)  # it must not dial again
        if conn_a not in dialling._table.connections:  # closed inside on_connect
            dialling.del_connector(connector)
        return conn_a, conn_b

    def run(self, predicate: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        turns = 0
        while not predicate():
            if time.monotonic() > deadline:
                raise TimeoutError
            turns += 1
            # Without sleep while data flows; when it takes longer, both have nothing to do.
            for link in self.links:
                link.loop(runtime=0 if turns < 200 else 0.0005)

    def close(self) -> None:
        for link in self.links:
            link.cleanup()


class SleepingSocketPair(SocketPair):
    """Two links over real sockets, each in a thread of its own that sleeps until it is woken."""

    def run(self, predicate: Callable[[], bool], timeout: float) -> None:
        # Asked at the end of passes only: a loop that sleeps although something has happened
        # since its last on_loop_pass makes this time out.
        def stop_when_true() -> None:
            if predicate():
                self.stop()

        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            self.stop()

        # Shorter than asked for: nothing here takes long, and this finds a loop that sleeps.
        timer = self.links[0].call_later(min(timeout, 5), give_up)
        for link in self.links:
            link.on_loop_pass.add(stop_when_true)
        try:
            while not predicate():
                for link in self.links:  # each may have stopped the other after its end
                    link.stop()
                    link.loop()
                thread = threading.Thread(target=self.links[1].loop)
                thread.start()
                self.links[0].loop()
                thread.join()
                if (
                    timed_out.is_set()
                ):  # even if the predicate holds by now: the timer has made the pass
                    raise TimeoutError
        finally:
            timer.cancel()
            for link in self.links:
                link.on_loop_pass.remove(stop_when_true)

    def stop(self) -> None:
        for link in self.links:
            link.stop()


class MakePair:
    """How to make each kind of pair, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def socket_path(self) -> str:
        self.count += 1
        return str(self.folder / f"{self.count}.socket")

    def tls(self, wrap: Wrap = bare) -> LinkPair:
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        certificate = authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(server)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        authority.configure_trust(client)
        return SocketPair(
            lambda: ("127.0.0.1", 0),
            listener_ssl=SSLConfig(context=server),
            connector_ssl=SSLConfig(context=client),
            wrap=wrap,
        )

    def make(self, kind: str) -> LinkPair:
        family, _, wrapped = kind.partition(" ")
        wrap = throttled if wrapped else bare
        match family:
            case "memory":
                return MemoryPair(MemoryNetwork(), wrap=wrap)
            case "memory-bytes":
                network = MemoryNetwork(send_cut=byte_by_byte, recv_cut=byte_by_byte, capacity=100)
                return MemoryPair(network, bulk=1500, wrap=wrap)
            case "memory-seed":
                return MemoryPair(MemoryNetwork(seed=7), wrap=wrap)
            case "memory-latency":
                return MemoryPair(MemoryNetwork(seed=8, latency=(0.0, 0.02)), wrap=wrap)
            case "tcp":
                return SocketPair(lambda: ("127.0.0.1", 0), wrap=wrap)
            case "tcp-selectors":
                with patch("snakemq.link._loop._loop.make_poller", SelectorPoller):
                    return SleepingSocketPair(lambda: ("127.0.0.1", 0), wrap=wrap)
            case "tcp-sleeping":
                return SleepingSocketPair(lambda: ("127.0.0.1", 0), wrap=wrap)
            case "unix":
                return SocketPair(self.socket_path, wrap=wrap)
            case "tls":
                return self.tls(wrap)
        raise AssertionError(kind)


KINDS = (
    "memory",
    "memory-bytes",
    "memory-seed",
    "memory-latency",
    "memory throttled",
    "memory-seed throttled",
    "tcp",
    "tcp-sleeping",
    "tcp-selectors",  # as on systems without epoll
    "unix",
    "tls",
    "tcp throttled",
    "tcp-sleeping throttled",
    "tls throttled",
)


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LinkPair]:
    pair = MakePair(tmp_path).make(request.param)
    with contextlib.closing(pair):
        yield pair


@pytest.mark.parametrize("check", LINK_CHECKS, ids=lambda check: check.__name__)
def test_link(check: LinkCheck, pair: LinkPair) -> None:
    check(pair)


@pytest.mark.parametrize("seed", range(20))
def test_memory_link_with_any_seed(seed: int) -> None:
    latency = (0.0, 0.01) if seed % 2 else 0.0
    check_link(
        lambda: MemoryPair(MemoryNetwork(seed, latency=latency, capacity=1000 + seed), bulk=20_000)
    )


# -- links that deserve to fail


class Broken(MemoryLink):
    caught_by: ClassVar[str]
    says: ClassVar[str] = ""


class TellsInsideSend(Broken):
    caught_by = "on_ready_to_send_is_called_later_and_once_for_each_send"
    says = "from within send"

    def send(self, conn_id: str, data: BytesLike) -> None:
        super().send(conn_id, data)
        self.on_ready_to_send(conn_id, len(data))


class TellsAllAsSent(Broken):
    caught_by = "bytes_arrive_exactly_and_in_order"

    class MachineType(Machine):
        def sent(self, end, size):  # type: ignore[no-untyped-def]
            super().sent(end, size + 1 if size > 1000 else size)


class TellsSendsTwice(Broken):
    caught_by = "on_ready_to_send_is_called_later_and_once_for_each_send"
    says = "without a send"

    class MachineType(Machine):
        def sent(self, end, size):  # type: ignore[no-untyped-def]
            super().sent(end, size)
            self.call_later(0, lambda: self.on_ready_to_send(end.conn_id, size))


class DropsAByte(Broken):
    caught_by = "bytes_arrive_exactly_and_in_order"
    says = "waited in vain"

    class MachineType(Machine):
        def received(self, end, data):  # type: ignore[no-untyped-def]
            super().received(end, data[:-1] if len(data) > 1000 else data)


class SwapsBytes(Broken):
    caught_by = "bytes_arrive_exactly_and_in_order"
    says = "other bytes arrived on a"

    class MachineType(Machine):
        def received(self, end, data):  # type: ignore[no-untyped-def]
            super().received(end, data[::-1])


class GivesBytearrays(Broken):
    caught_by = "bytes_arrive_exactly_and_in_order"
    says = "on_recv gives bytes"

    class MachineType(Machine):
        def received(self, end, data):  # type: ignore[no-untyped-def]
            super().received(end, bytearray(data))  # type: ignore[arg-type]


class ReusesIds(Broken):
    caught_by = "ids_of_connections_are_not_reused"
    says = "a second time"

    class MachineType(Machine):
        def announce(self, end):  # type: ignore[no-untyped-def]
            del self.all_ends[end.conn_id]
            end.conn_id = "the connection"
            super().announce(end)


class ConnectsTwice(Broken):
    caught_by = "on_connect_is_called_once_on_both_sides"

    class MachineType(Machine):
        def announce(self, end):  # type: ignore[no-untyped-def]
            super().announce(end)
            super().announce(end)


class DisconnectsTwice(Broken):
    caught_by = "close_calls_on_disconnect_once_before_it_returns"
    says = "a second time"

    class MachineType(Machine):
        def drop(self, end):  # type: ignore[no-untyped-def]
            super().drop(end)
            self.call_later(0, lambda: self.on_disconnect(end.conn_id))


class DisconnectsLater(Broken):
    caught_by = "close_calls_on_disconnect_once_before_it_returns"
    says = "0 times when close returned"

    def close(self, conn_id: str) -> None:
        self.call_later(0, lambda: self.machine.drop(self.machine.end(conn_id)))


class ClosesSilently(Broken):
    caught_by = "close_calls_on_disconnect_once_before_it_returns"

    def close(self, conn_id: str) -> None:
        self.machine.forget(self.machine.end(conn_id))


class LosesWhatItTookOver(Broken):
    caught_by = "what_was_taken_over_arrives_before_on_disconnect"

    def close(self, conn_id: str) -> None:
        self.machine.end(conn_id).out.arrived.clear()
        super().close(conn_id)


class SpeaksOfTheDead(Broken):
    caught_by = "nothing_happens_on_a_closed_connection"
    says = "which is not connected"

    def close(self, conn_id: str) -> None:
        super().close(conn_id)
        self.call_later(0, lambda: self.on_ready_to_send(conn_id, 1))


class IgnoresUnknownIds(Broken):
    caught_by = "unknown_connections_raise_no_connection"
    says = "no NoConnection"

    def close(self, conn_id: str) -> None:
        if conn_id in self.connections:
            super().close(conn_id)


class ReplacesAPendingSend(Broken):
    caught_by = "a_send_before_the_last_one_is_finished_raises"

    def send(self, conn_id: str, data: BytesLike) -> None:
        try:
            super().send(conn_id, data)
        except SendNotFinished:
            self.machine.end(conn_id).pending = data


class OneSendForAll(Broken):
    caught_by = "connections_send_independently"

    def send(self, conn_id: str, data: BytesLike) -> None:
        if any(end.pending for end in self.machine.ends.values()):
            raise SendNotFinished
        super().send(conn_id, data)


class SendsNothing(Broken):
    caught_by = "empty_data_raises_value_error"
    says = "no ValueError"

    def send(self, conn_id: str, data: BytesLike) -> None:
        if len(data):
            super().send(conn_id, data)


class SendsAnything(Broken):
    caught_by = "anything_but_bytes_raises_type_error"
    says = "no TypeError for 'text'"

    def send(self, conn_id: str, data: BytesLike) -> None:
        with contextlib.suppress(TypeError):
            super().send(conn_id, data)


class AnnouncesTheDead(Broken):
    caught_by = "callbacks_after_a_close_inside_on_connect_are_not_called"
    says = "although the connection was closed"

    class MachineType(Machine):
        def call(self, func, *args, **kwargs):  # type: ignore[no-untyped-def]
            if func == self.on_connect.call_while:
                func, args = self.on_connect, args[1:]
            super().call(func, *args, **kwargs)


class RefusesToSendToTheDead(Broken):
    caught_by = "a_send_to_a_peer_that_has_closed_does_not_raise"

    def send(self, conn_id: str, data: BytesLike) -> None:
        if self.machine.end(conn_id).inp.fin:
            raise AssertionError("broken pipe")
        super().send(conn_id, data)


class PausesNothing(Broken):
    caught_by = "a_paused_connection_delivers_nothing_until_it_is_resumed"
    says = "although reading was paused"

    def pause_reading(self, conn_id: str, reason: object = None) -> None:
        super().pause_reading(conn_id, reason)
        self.on_loop_pass.add(lambda: self.resume_reading(conn_id, reason))


class PausesSending(Broken):
    caught_by = "a_paused_connection_still_sends"

    def pause_reading(self, conn_id: str, reason: object = None) -> None:
        super().pause_reading(conn_id, reason)
        self.machine.end(conn_id).out.stalled = True


class ReadsAllThatIsComing(Broken):
    caught_by = "the_peer_of_a_paused_connection_has_to_wait"
    says = "more came after"

    def pause_reading(self, conn_id: str, reason: object = None) -> None:
        self.call_later(0, lambda: super(ReadsAllThatIsComing, self).pause_reading(conn_id, reason))


class KnowsOneReason(Broken):
    caught_by = "reading_goes_on_when_no_reason_is_left"
    says = "undone the other"

    def resume_reading(self, conn_id: str, reason: object = None) -> None:
        self.machine.end(conn_id).inp.paused_by.clear()
        super().resume_reading(conn_id, reason)


class ReadsOnceAfterResuming(Broken):
    caught_by = "pausing_again_right_after_resuming_delivers_nothing"
    says = "although reading was paused"

    def resume_reading(self, conn_id: str, reason: object = None) -> None:
        super().resume_reading(conn_id, reason)
        end = self.machine.end(conn_id)
        if end.inp.arrived:
            self.call_later(0, lambda: end._deliver(end.inp))


class ForgetsToPauseNewConnections(Broken):
    caught_by = "pause_inside_on_connect"

    class MachineType(Machine):
        def announce(self, end):  # type: ignore[no-untyped-def]
            super().announce(end)
            end.inp.paused_by.clear()


class EndsBeforeItsData(Broken):
    caught_by = "the_end_of_a_paused_connection_comes_after_its_data"
    says = "before the data"

    def pause_reading(self, conn_id: str, reason: object = None) -> None:
        super().pause_reading(conn_id, reason)
        end = self.machine.end(conn_id)

        def look() -> None:
            if end.inp.fin and conn_id in self.connections:
                self.machine.drop(end)

        self.on_loop_pass.add(look)


class CannotClosePaused(Broken):
    caught_by = "a_paused_connection_can_be_closed"
    says = "close did not call on_disconnect"

    def close(self, conn_id: str) -> None:
        if self.is_reading(conn_id):
            super().close(conn_id)


class PausesAll(Broken):
    caught_by = "others_are_read_while_one_is_paused"

    def pause_reading(self, conn_id: str, reason: object = None) -> None:
        for one in self.connections:
            super().pause_reading(one, reason)


class CountsWhatHasArrived(Broken):
    caught_by = "unsent_bytes_end_at_zero_if_the_link_can_tell_them"
    says = "bytes are unsent"

    def unsent_bytes(self, conn_id: str) -> int | None:
        return 5 if conn_id in self.connections else super().unsent_bytes(conn_id)


class NeverAnswered(Broken):
    caught_by = "nothing_is_unanswered_when_all_has_arrived"
    says = "unanswered for 5.0 s"

    def unanswered_for(self, conn_id: str) -> float | None:
        return 5.0 if conn_id in self.connections else super().unanswered_for(conn_id)


class AdmitsWhatNobodyHasChecked(Broken):
    caught_by = "connection_is_closed_if_a_callback_of_on_connect_raises"
    says = "waited in vain: on_disconnect"

    class MachineType(Machine):
        def drop_if_open(self, end):  # type: ignore[no-untyped-def]
            pass


class TimersAreEarly(Broken):
    caught_by = "timers_are_called_once_in_order_and_never_early"
    says = "too early"

    def call_later(self, delay, func):  # type: ignore[no-untyped-def]
        return super().call_later(delay * 0.9, func)


class TimersCallAtOnce(Broken):
    caught_by = "timers_are_called_once_in_order_and_never_early"
    says = "from within call_later"

    def call_later(self, delay, func):  # type: ignore[no-untyped-def]
        if not delay:
            func()
            func = int
        return super().call_later(delay, func)


class TimersCannotBeCancelled(Broken):
    caught_by = "cancelled_timers_are_not_called"

    def call_later(self, delay, func):  # type: ignore[no-untyped-def]
        super().call_later(delay, func)
        return super().call_later(delay, int)


class NeverWakes(Broken):
    caught_by = "wakeup_poll_leads_to_on_loop_pass"

    def wakeup_poll(self) -> None:
        pass


class WakesAtOnce(Broken):
    caught_by = "wakeup_poll_leads_to_on_loop_pass"
    says = "from within wakeup_poll"

    def wakeup_poll(self) -> None:
        self.on_loop_pass()


class ForgetsWakeupsOfThePass(Broken):
    caught_by = "wakeup_poll_inside_callbacks_leads_to_on_loop_pass"

    def wakeup_poll(self) -> None:
        if not self.in_loop():
            super().wakeup_poll()


class AlwaysInLoop(Broken):
    caught_by = "in_loop_is_true_inside_callbacks_only"

    def in_loop(self) -> bool:
        return True


class DiesOfCallbacks(Broken):
    caught_by = "callbacks_that_raise_stop_nothing"

    class MachineType(Machine):
        def call(self, func, *args, **kwargs):  # type: ignore[no-untyped-def]
            func(*args, **kwargs)


BROKEN = Broken.__subclasses__()


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_the_check_that_names_it_catches_a_broken_link(kind: type[Broken]) -> None:
    (check,) = (check for check in LINK_CHECKS if check.__name__ == kind.caught_by)
    failures = []
    for kinds in ((kind, MemoryLink), (MemoryLink, kind)):  # checks do more on one side
        try:
            check(MemoryPair(MemoryNetwork(), kinds=kinds))
        except AssertionError as exc:
            failures.append(str(exc))
    assert failures, f"{check.__name__} passed"
    assert any(kind.says in failure for failure in failures), failures


def test_check_link_names_the_check_that_failed() -> None:
    with pytest.raises(AssertionError, match="on_connect_is_called_once_on_both_sides: a: "):
        check_link(lambda: MemoryPair(MemoryNetwork(), kinds=(ConnectsTwice, MemoryLink)))
