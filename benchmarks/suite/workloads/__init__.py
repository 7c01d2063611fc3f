"""All workloads, in the order in which they are reported."""

from __future__ import annotations

from benchmarks.suite.plan import Workload

from . import w1_packets, w2_messages, w4_calls

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for module in (w1_packets, w2_messages, w4_calls)
    for workload in module.WORKLOADS
}
