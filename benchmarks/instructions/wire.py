"""Two links in one thread that lose nothing and cost next to nothing.

They are the same for each version of snakeMQ that is compared, unlike the links of that version.
"""

from __future__ import annotations

from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.link import BytesLike


class Timer:
    """A call that is never made if it is planned for later: no time passes here."""

    def __init__(self, func: Callable[[], object]) -> None:
        self.func: Callable[[], object] | None = func

    def cancel(self) -> None:
        self.func = None


class WireLink:
    """One side of the wire, with the one connection that it has."""

    other: WireLink

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self.on_connect: Callback[[str]] = Callback()
        self.on_disconnect: Callback[[str]] = Callback()
        self.on_recv: Callback[[str, bytes]] = Callback()
        self.on_ready_to_send: Callback[[str, int]] = Callback()
        self.on_loop_pass: Callback[[]] = Callback()
        self._arrived: list[bytes] = []
        self._due: list[Timer] = []
        self._sent: int | None = None
        self._is_woken = True
        self._is_running = False

    def run_pass(self) -> bool:
        """Do what there is to do. False if there is nothing."""
        if not (self._arrived or self._is_woken or self._due or self._sent is not None):
            return False
        self._is_running = True
        if self._sent is not None:
            sent, self._sent = self._sent, None
            self.on_ready_to_send(self.conn_id, sent)
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            self.on_recv(self.conn_id, b"".join(arrived))
        due, self._due = self._due, []
        for timer in due:
            if timer.func is not None:
                timer.func()
        self._is_woken = False
        self.on_loop_pass()
        self._is_running = False
        return True

    # -- the interface of a link, and the abilities that the real one has

    def send(self, conn_id: str, data: BytesLike) -> None:
        self.other._arrived.append(bytes(data))
        self._sent = len(data)

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        self.other._arrived.append(bytes(data))
        return True

    def close(self, conn_id: str) -> None:
        raise AssertionError("a connection that breaks is not what is measured")

    def pause_reading(self, conn_id: str, reason: object) -> None:
        raise AssertionError("a peer that is too slow is not what is measured")

    def resume_reading(self, conn_id: str, reason: object) -> None:
        pass

    def is_reading(self, conn_id: str) -> bool:
        return True

    def wakeup_poll(self) -> None:
        self._is_woken = True

    def call_later(self, delay: float, func: Callable[[], object]) -> Timer:
        timer = Timer(func)
        if delay <= 0:
            self._due.append(timer)
        return timer

    def time(self) -> float:
        return 0.0

    def in_loop(self) -> bool:
        return self._is_running

    def borrow(self) -> bool:
        return True

    def give_back(self) -> None:
        pass


class Wire:
    """Both sides."""

    def __init__(self) -> None:
        self.a, self.b = WireLink("to b"), WireLink("to a")
        self.a.other, self.b.other = self.b, self.a

    def connect(self) -> None:
        for side in (self.a, self.b):
            side.on_connect(side.conn_id)
        self.run()

    def run(self) -> None:
        """Run passes of both sides until neither has anything to do."""
        while self.a.run_pass() | self.b.run_pass():
            pass
