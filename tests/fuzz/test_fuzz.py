from __future__ import annotations

import random

from .__main__ import fuzz


def test_random_pickles_are_harmless() -> None:
    tried, taken = fuzz(seconds=20, seed=random.SystemRandom().getrandbits(32))
    assert tried > taken > 0  # some of both, or the grammar is of no use
