"""W9: messages taken by ``async for``. W10: awaited calls. W11: crowds of tasks that call."""

from __future__ import annotations

from typing import Any

from benchmarks.suite.harness.plan import (
    RATE_COLUMNS,
    Case,
    Column,
    Contestant,
    Goal,
    Pinning,
    Workload,
    calls,
    one_way,
)

from .w4_calls import APART, COLUMNS

MODULES = "aio"
GUEST = Contestant("snakemq2", "guest", {"driver": "guest"})
THREAD = Contestant("snakemq2", "thread", {"driver": "thread"})
TWO_DRIVERS = (
    "Guest: the link makes its passes in the event loop; thread: it has a thread of its own, by "
    "`own_thread=True`. "
)


def on_uvloop(name: str, settings: dict[str, Any]) -> Case:
    return Case(
        f"{name}, uvloop",
        {**settings, "uvloop": True},
        short=False,
        needs="uvloop",
        without=("pyzmq", "nats", "grpc"),
    )


HUNDRED = {"size": 100, "count": 100_000, "at_least": 100, "way": "queued"}
CALLBACKS = Contestant("snakemq2", "callbacks", {"driver": "callbacks"})

W9 = Workload(
    "W9",
    "messages taken by async for, first send to last receive",
    columns=(Column("rate", "messages/s"), *RATE_COLUMNS),
    contestants=(
        GUEST,
        THREAD,
        CALLBACKS,
        Contestant("pyzmq", "asyncio PUSH/PULL"),
        Contestant("nats", "async for", share=0.5),
    ),
    cases=(
        Case("100 B", HUNDRED),
        Case("100 B, not pinned", HUNDRED, pinning=Pinning.NONE, short=False),
        on_uvloop("100 B", HUNDRED),
        Case("100 B, by await send", {**HUNDRED, "way": "await"}, short=False),
    ),
    modules=MODULES,
    measure=one_way("messages"),
    goals=tuple(
        Goal(case, way, "0.85 x callbacks", against=f"snakemq2 {CALLBACKS.way}", at_least=0.85)
        for case in ("100 B", "100 B, not pinned", "100 B, by await send")
        for way in ("guest", "thread")
    ),
    note=(
        TWO_DRIVERS + "Callbacks: the receiver uses `on_message_recv`, without asyncio. Receivers "
        "are what is measured: the senders do without asyncio, those of snakeMQ as `queued` in W2. "
        "Only in the last table, each message is sent by an `await`; in that of callbacks by a "
        "guest. NATS has no other senders. A loop acknowledges each message when its body has "
        "ended, and asks for the next one then."
    ),
)

DEALER = Contestant("pyzmq", "asyncio DEALER/ROUTER", {"socket": "DEALER"})
OTHERS = (Contestant("nats", share=0.5), Contestant("grpc", "aio", share=0.5))


def ahead_of_zmq(*cases: str) -> tuple[Goal, ...]:
    return tuple(
        Goal(case, way, "more than zmq.asyncio", against=DEALER.key, at_least=1)
        for case in cases
        for way in ("guest", "thread")
    )


ONE = {"callers": 1, "count": 5_000}

W10 = Workload(
    "W10",
    "calls of add(1, 2), each awaited before the next",
    columns=COLUMNS,
    contestants=(
        GUEST,
        THREAD,
        DEALER,
        Contestant("pyzmq", "asyncio REQ/ROUTER", {"socket": "REQ"}),
        *OTHERS,
    ),
    cases=(
        Case(APART, ONE),
        Case("both sides on one CPU", ONE, pinning=Pinning.TOGETHER, short=False),
        on_uvloop(APART, ONE),
    ),
    modules=MODULES,
    measure=calls,
    goals=ahead_of_zmq(APART, "both sides on one CPU"),
    note=(
        TWO_DRIVERS + "The method is an `async def`. Many tasks can share a DEALER, as they share "
        "a peer of snakeMQ, because a task reads the replies and wakes the right one. A REQ serves "
        "one task at a time. zmq and gRPC pickle their arguments."
    ),
)

W11 = Workload(
    "W11",
    "calls of add(1, 2), awaited by many tasks at once",
    columns=COLUMNS,
    contestants=(GUEST, THREAD, DEALER, *OTHERS),
    cases=(
        Case("100 tasks", {"callers": 100, "count": 20_000}),
        Case("1,000 tasks", {"callers": 1_000, "count": 20_000}),
        on_uvloop("1,000 tasks", {"callers": 1_000, "count": 20_000}),
    ),
    modules=MODULES,
    measure=calls,
    goals=ahead_of_zmq("100 tasks", "1,000 tasks"),
    note="As W10. All tasks share one connection.",
)

WORKLOADS = (W9, W10, W11)
