"""W4: one call after another. W5: many callers at once."""

from __future__ import annotations

from benchmarks.suite.harness.plan import Case, Column, Contestant, Goal, Pinning, Workload, calls

COLUMNS = (
    Column("rate", "calls/s"),
    Column("p50", "p50 µs", 1e6, 0, more_is_better=False),
    Column("p99", "p99 µs", 1e6, 0, more_is_better=False),
    Column("sent_cpu", "CPU µs client", 1e6, 1, more_is_better=False),
    Column("received_cpu", "server", 1e6, 1, more_is_better=False),
)

INLINE = Contestant("snakemq2", "inline", {"method": "inline"})
POOLED = Contestant("snakemq2", "pooled", {"method": "pooled"})
OTHERS = (
    Contestant("snakemq16", share=0.2),
    Contestant("pyzmq", "REQ/REP"),
    Contestant("rpyc", "cached", {"method": "cached"}, share=0.5),
    Contestant("rpyc", "plain", {"method": "plain"}, share=0.2),
    Contestant("pyro5", share=0.5),
    Contestant("nats", share=0.3),
)
PING_PONG = Contestant("floor", "pickled ping-pong", {"method": "pickled"})
RAW_PING_PONG = Contestant("floor", "raw ping-pong", {"method": "raw"})

APART = "each side on its CPU"

W4 = Workload(
    "W4",
    "calls of add(1, 2), one after another",
    columns=COLUMNS,
    contestants=(INLINE, POOLED, *OTHERS, PING_PONG, RAW_PING_PONG),
    cases=(
        Case(APART, {"callers": 1, "count": 5_000}),
        Case(
            "both sides on one CPU",
            {"callers": 1, "count": 5_000},
            pinning=Pinning.TOGETHER,
            short=False,
        ),
        Case("not pinned", {"callers": 1, "count": 5_000}, pinning=Pinning.NONE, short=False),
    ),
    measure=calls,
    goals=(
        *(
            Goal(APART, way, text, against=key, at_least=1, column=column)
            for way in ("inline", "pooled")
            for key, title in (("rpyc cached", "RPyC"), ("pyro5", "Pyro5"))
            for column, text in (("rate", f"more than {title}"), ("p99", f"p99 below {title}"))
        ),
        Goal(
            APART,
            "inline",
            "within 1.5 x of ping-pong and pickling",
            against="floor pickled ping-pong",
            at_least=1 / 1.5,
        ),
    ),
    note=(
        "RPyC, cached: the caller keeps the method; plain: it is looked up at each call. The "
        "ping-pong is of bare sockets. A client of snakeMQ has a thread for its loop; those of "
        "RPyC, Pyro5 and pyzmq have only the one that calls. In a process that is bound to a CPU "
        "which nobody else wants, a thread of snakeMQ stays awake while it waits for a reply."
    ),
)

W5 = Workload(
    "W5",
    "calls of add(1, 2), many at once",
    columns=COLUMNS,
    contestants=(
        INLINE,
        POOLED,
        Contestant("snakemq2", "futures", {"method": "inline", "futures": True}),
        *OTHERS,
        PING_PONG,
    ),
    cases=(Case("16 callers", {"callers": 16, "count": 16_000}),),
    measure=calls,
    goals=(
        # As a ratio, because that is what can be compared: 25,000 where pyzmq makes 62,000.
        Goal("16 callers", "inline", "25 of 62 of pyzmq", "pyzmq REQ/REP", at_least=25 / 62),
        Goal("16 callers", "futures", "more with futures", "snakemq2 inline", at_least=1),
    ),
    note=(
        "Each caller is a thread with a connection of its own; those of snakeMQ share one, and "
        "those of NATS are coroutines. Futures: one thread keeps 1,000 calls outstanding."
    ),
)

G4 = Workload(
    "G4",
    "calls of add(1, 2), by callers",
    columns=COLUMNS[:1],
    contestants=(
        INLINE,
        POOLED,
        Contestant("snakemq16", share=0.2),
        Contestant("pyzmq", "REQ/REP"),
        Contestant("rpyc", "cached", {"method": "cached"}, share=0.5),
        Contestant("pyro5", share=0.5),
    ),
    cases=tuple(
        Case(f"{n} callers", {"callers": n, "count": 6_400}, x=n, short=n in (1, 16))
        for n in (1, 4, 16, 64)
    ),
    measure=calls,
    axis="callers",
    rounds=2,
)

WORKLOADS = (W4, W5)
GROWTH = (G4,)
