"""``python -m benchmarks.suite [short] [W2 W4 ...] [options]``: run workloads and print tables."""

from __future__ import annotations

import argparse
import sys

from .peers import PEERS
from .report import terminal
from .run import Options, default_cpus, run
from .workloads import WORKLOADS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="short | W1 ... ", help="default: all workloads")
    parser.add_argument("--peers", help="only these, separated by commas: " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--scale", type=float, help="multiplies all counts")
    options = parser.parse_args()
    short = "short" in options.what
    names = [name for name in options.what if name != "short"] or list(WORKLOADS)
    if unknown := set(names) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    chosen = frozenset(options.peers.split(",")) if options.peers else frozenset(PEERS)
    if unknown := set(chosen) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")

    results = run(
        [WORKLOADS[name] for name in names],
        Options(
            rounds=options.rounds or (1 if short else 5),
            scale=options.scale or (0.1 if short else 1),
            cpus=default_cpus(),
            peers=chosen,
            short=short,
        ),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(terminal(results))
    return 1 if any(row.problem for row in results.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
