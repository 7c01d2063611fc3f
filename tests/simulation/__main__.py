"""One run, told in full, or many, counted: ``python -m tests.simulation SEED [COUNT]``."""

from __future__ import annotations

import argparse
import sys

from .many import Tally, run_many, workers
from .run import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, help="the (first) seed")
    parser.add_argument("count", type=int, nargs="?", default=1, help="how many runs")
    arguments = parser.parse_args()
    if arguments.count > 1:
        tally = Tally()
        with workers() as executor:
            run_many(range(arguments.seed, arguments.seed + arguments.count), executor, tally)
        print(tally)
        return bool(tally.failures)
    outcome = run(arguments.seed, whole_story=True)
    print("\n".join(outcome.story))
    print(f"what went wrong: {dict(outcome.faults)}")
    print(f"what there was: {dict(outcome.figures)}")
    print(f"verdict: {outcome.problem or 'all promises were kept'}")
    return bool(outcome.problem)


if __name__ == "__main__":  # worker processes import it, too
    sys.exit(main())
