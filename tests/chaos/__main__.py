"""``python -m tests.chaos --messages 100000``: count what is lost when everything is killed."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from .director import Director, Plan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--without-inbox", action="store_true")
    parser.add_argument("--deadline", type=float, default=1800.0, help="in seconds")
    arguments = parser.parse_args()
    plan = Plan(
        messages=arguments.messages,
        seed=arguments.seed,
        with_inbox=not arguments.without_inbox,
        deadline=arguments.deadline,
    )
    with tempfile.TemporaryDirectory(prefix="snakemq-chaos-") as folder:
        report = Director(plan, Path(folder)).run()
    print(report)
    return 0 if report.verdict.is_good and not report.errors else 1


if __name__ == "__main__":
    sys.exit(main())
