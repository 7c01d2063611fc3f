"""``python -m tests.fuzz SECONDS [SEED]``; a failure shows the pickle and its seed."""

from __future__ import annotations

import faulthandler
import random
import sys
import time

from .differential import check, check_honest
from .grammar import random_pickle

HANG = 30
"""Seconds after which a single pickle shows where it hangs, and ends the run."""


def fuzz(seconds: float, seed: int) -> tuple[int, int]:
    """How many pickles were tried, and how many of them were taken."""
    end = time.monotonic() + seconds
    tried = taken = 0
    while time.monotonic() < end:
        rng = random.Random(seed + tried)
        data = random_pickle(rng)
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            taken += check(data)
            check_honest(rng)
        except BaseException as exc:
            exc.add_note(f"seed {seed + tried}: {data.hex()}")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        tried += 1
    return tried, taken


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3600
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    print("{} pickles, {} of them taken".format(*fuzz(seconds, seed)))
