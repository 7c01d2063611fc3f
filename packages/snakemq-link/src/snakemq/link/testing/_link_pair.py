"""What the conformance checks need to drive two links, and how they watch them."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Protocol

from snakemq.link._interface import BytesLike, LinkInterface

TIMEOUT = 30.0


class LinkPair(Protocol):
    """Two fresh links that can be connected, and a way to run them: you write it for your link.

    Each check gets its own pair. Everything happens in one thread: the checks call the links
    between two calls of :meth:`run` and in the callbacks during it.
    """

    @property
    def a(self) -> LinkInterface:
        """One link."""

    @property
    def b(self) -> LinkInterface:
        """The other one."""

    @property
    def bulk(self) -> int:
        """Bytes of a long stream: more than the buffers on its way hold, 1 MiB and more if that
        takes no more than a second."""

    def connect(self) -> tuple[str, str]:
        """Make one more connection; return its ids on ``a`` and on ``b``.

        Return after ``on_connect`` on both sides. Do not dial again when the connection is closed.
        """

    def run(self, predicate: Callable[[], bool], timeout: float) -> None:
        """Run both loops until ``predicate()`` holds, which may be at once.

        Raises ``TimeoutError`` after ``timeout`` seconds of the clock of the links.
        """

    def close(self) -> None:
        """Release everything, whatever state it is in."""


def require(condition: object, text: str) -> None:
    # not the assert statement: python -O must not turn the checks off
    if not condition:
        raise AssertionError(text)


class Side:
    """One link of a pair. Writes down what it reports and what breaks the rules of the interface.

    It watches the rules that hold at all times, in every check. It collects violations instead of
    raising them, because a link survives callbacks that raise.
    """

    def __init__(self, link: LinkInterface, name: str) -> None:
        self.link = link
        self.name = name
        self.open: list[str] = []
        self.events: Counter[tuple[str, str]] = Counter()
        """How often (callback, conn_id) was called."""
        self.received: defaultdict[str, bytearray] = defaultdict(bytearray)
        self.passes = 0
        self.violations: list[str] = []
        self._outbox: defaultdict[str, deque[memoryview]] = defaultdict(deque)
        self._unreported: dict[str, int] = {}  # sizes of sends
        self._inside_send = False
        link.on_connect.add(self._on_connect)
        link.on_disconnect.add(self._on_disconnect)
        link.on_recv.add(self._on_recv)
        link.on_ready_to_send.add(self._on_ready_to_send)
        link.on_loop_pass.add(self._on_loop_pass)

    def send(self, conn_id: str, data: BytesLike) -> None:
        """``link.send``, watched."""
        self._inside_send = True
        try:
            self.link.send(conn_id, data)
        finally:
            self._inside_send = False
        self._unreported[conn_id] = memoryview(data).nbytes

    def push(self, conn_id: str, data: BytesLike) -> None:
        """Send all of it, after what was pushed before, in as many sends as it takes."""
        self._outbox[conn_id].append(memoryview(data))
        if conn_id not in self._unreported:
            self.send(conn_id, self._outbox[conn_id][0])

    def pushed_all(self, conn_id: str) -> bool:
        return not self._outbox[conn_id] and conn_id not in self._unreported

    def _violated(self, text: str) -> None:
        self.violations.append(f"{self.name}: {text}")

    def _note(self, callback: str, conn_id: str) -> None:
        self.events[callback, conn_id] += 1
        if self._inside_send:
            self._violated(f"{callback} was called from within send")

    def _on_connect(self, conn_id: str) -> None:
        self._note("on_connect", conn_id)
        if not isinstance(conn_id, str):
            self._violated(f"a connection id is a str, not {conn_id!r}")
        if self.events["on_connect", conn_id] > 1:
            self._violated(f"on_connect with the id {conn_id!r} a second time")
        self.open.append(conn_id)

    def _on_disconnect(self, conn_id: str) -> None:
        self._note("on_disconnect", conn_id)
        if self.events["on_disconnect", conn_id] > 1:
            self._violated(f"on_disconnect of {conn_id!r} a second time")
        elif conn_id not in self.open:
            self._violated(f"on_disconnect of {conn_id!r}, which never was connected")
        else:
            self.open.remove(conn_id)
        self._unreported.pop(conn_id, None)

    def _on_recv(self, conn_id: str, data: bytes) -> None:
        self._note("on_recv", conn_id)
        if conn_id not in self.open:
            self._violated(f"on_recv for {conn_id!r}, which is not connected")
        if not isinstance(data, bytes):
            self._violated(f"on_recv gives bytes, not {type(data)}")
        if not data:
            self._violated("on_recv without data")
        self.received[conn_id] += data

    def _on_ready_to_send(self, conn_id: str, sent: int) -> None:
        self._note("on_ready_to_send", conn_id)
        if conn_id not in self.open:
            self._violated(f"on_ready_to_send for {conn_id!r}, which is not connected")
        size = self._unreported.pop(conn_id, None)
        if size is None:
            self._violated(f"on_ready_to_send for {conn_id!r} without a send")
        elif not 1 <= sent <= size:
            self._violated(f"on_ready_to_send says that {sent!r} bytes of {size} were sent")
        outbox = self._outbox[conn_id]
        if outbox:
            rest = outbox.popleft()[sent:]
            if rest:
                outbox.appendleft(rest)
            if outbox and conn_id in self.open:
                self.send(conn_id, outbox[0])

    def _on_loop_pass(self) -> None:
        self.passes += 1
        if self._inside_send:
            self._violated("on_loop_pass was called from within send")


class Arena:
    """A pair with its two watched sides, while a check runs."""

    def __init__(self, pair: LinkPair) -> None:
        self.pair = pair
        self.a = Side(pair.a, "a")
        self.b = Side(pair.b, "b")

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.a, self.b

    def connect(self) -> tuple[str, str]:
        return self.pair.connect()

    def until(self, what: str, predicate: Callable[[], object]) -> None:
        """Run until it holds; ``what`` names it in the failure."""
        try:
            self.pair.run(lambda: bool(predicate()), TIMEOUT)
        except TimeoutError as exc:
            raise AssertionError(f"waited in vain: {what}") from exc

    def settle(self) -> None:
        """Run some passes on both sides, so that what must not happen has time to happen."""
        for _ in range(4):
            before = [side.passes for side in self.sides]
            for side in self.sides:
                side.link.wakeup_poll()
            for side, passes in zip(self.sides, before, strict=True):
                self.until_pass(side, passes)

    def until_pass(self, side: Side, passes: int) -> None:
        self.until(f"on_loop_pass on {side.name}", lambda: side.passes > passes)

    def until_received(self, side: Side, conn_id: str, size: int) -> None:
        self.until(f"{size} bytes on {side.name}", lambda: len(side.received[conn_id]) >= size)

    def until_sent(self, side: Side, conn_id: str) -> None:
        self.until(f"{side.name} has sent everything", lambda: side.pushed_all(conn_id))

    def until_closed(self, side: Side, conn_id: str) -> None:
        self.until(f"on_disconnect on {side.name}", lambda: side.events["on_disconnect", conn_id])


LinkCheck = Callable[[LinkPair], None]


def link_check(check: Callable[[Arena], None]) -> LinkCheck:
    """Turn a function that plays with two watched sides into a check."""

    def run_check(pair: LinkPair) -> None:
        arena = Arena(pair)
        failure: AssertionError | None = None
        try:
            check(arena)
            arena.settle()
        except AssertionError as exc:
            failure = exc
        except Exception as exc:
            failure = AssertionError(f"the link raised {exc!r}")
            failure.__cause__ = exc
        violations = arena.a.violations + arena.b.violations
        if violations:  # they tell more than what they led to
            raise AssertionError("\n".join(violations[:10])) from failure
        if failure is not None:
            raise failure

    run_check.__name__ = check.__name__
    run_check.__qualname__ = check.__name__
    run_check.__doc__ = check.__doc__
    return run_check
