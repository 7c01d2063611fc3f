"""All workloads, in the order in which they are reported."""

from __future__ import annotations

from benchmarks.suite.harness.plan import Workload

from . import (
    w1_packets,
    w2_messages,
    w3_large,
    w4_calls,
    w6_durable,
    w7_connections,
    w8_presence,
    w9_asyncio,
)

_AT_WORK = (
    *(w1_packets, w2_messages, w3_large, w4_calls, w6_durable, w7_connections, w8_presence),
    w9_asyncio,
)
_GROWING = (w2_messages, w7_connections, w6_durable, w4_calls)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *(workload for module in _AT_WORK for workload in module.WORKLOADS),
        *(workload for module in _GROWING for workload in module.GROWTH),
    )
}


def named(name: str) -> list[Workload]:
    """``W8`` means W8a, W8b and W8c as well. Empty if there is none of that name."""
    return [
        workload
        for known, workload in WORKLOADS.items()
        if known == name or known.rstrip("abc") == name
    ]
