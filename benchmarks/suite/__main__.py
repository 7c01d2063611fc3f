"""``python -m benchmarks.suite [short] [W2 W4 ...] [options]``: run workloads and print tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .peers import BEFORE, PEERS, before
from .report import terminal
from .run import Options, default_cpus, run
from .workloads import WORKLOADS, named


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="short | W1 ... ", help="default: all workloads")
    parser.add_argument("--peers", help="only these, separated by commas: " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--scale", type=float, help="multiplies all counts")
    parser.add_argument(
        "--before", type=Path, metavar="CLONE", help="compare with snakeMQ 2 of another clone"
    )
    options = parser.parse_args()
    short = "short" in options.what
    workloads = []
    for name in [name for name in options.what if name != "short"] or WORKLOADS:
        if not named(name):
            parser.error(f"no such workload: {name}; there are {', '.join(WORKLOADS)}")
        workloads += named(name)
    chosen = options.peers.split(",") if options.peers else list(PEERS)
    if unknown := set(chosen) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    peers = {name: PEERS[name] for name in chosen}
    if options.before:
        peers[BEFORE] = before(options.before)

    results = run(
        workloads,
        Options(
            rounds=options.rounds or (1 if short else 5),
            scale=options.scale or (0.1 if short else 1),
            cpus=default_cpus(),
            peers=peers,
            short=short,
        ),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(terminal(results))
    return 1 if any(row.problem for row in results.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
