"""What the journals say: accepted, delivered, lost, repeated, out of order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from . import journal
from .messages import is_large
from .settling import Fate, dead_letters, fate_of


@dataclass
class Verdict:
    """Counts of messages."""

    accepted: int
    """``send_message`` has returned, and the sender has noted that down."""
    delivered: int
    """Different ones that the receiver's callback has noted down."""
    lost: int
    """Neither delivered nor among the dead letters."""
    duplicated: int
    """Repetitions for which there is no excuse."""
    repeated: int
    """Repetitions of messages that the receiver had processed and not recorded when it was killed.
    Nobody but the application can close that gap: the line in its journal and the record in the
    inbox are two files. Without an inbox, all repetitions across lives of the receiver."""
    out_of_order: int
    dead_letters: int = 0
    """What the receiver has rejected and kept."""

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicated or self.out_of_order)


def judge(
    folder: Path,
    unrecorded: set[tuple[int, int]],
    with_inbox: bool,
    settles: bool = False,
) -> Verdict:
    """``unrecorded``: lives of the receiver, and the messages that each of them had processed and
    not recorded when it was killed."""
    accepted = {int(words[1]) for words in journal.read(folder / "sent") if words[0] == "accepted"}
    lives_of: defaultdict[int, list[int]] = defaultdict(list)
    last_of: defaultdict[int, int] = defaultdict(int)
    duplicated = repeated = out_of_order = 0
    for words in journal.read(folder / "received"):
        life, number = int(words[0]), int(words[1])
        before = lives_of[number]
        if before:
            excused = (before[-1], number) in unrecorded if with_inbox else before[-1] != life
            if excused:
                repeated += 1
            else:
                duplicated += 1
        before.append(life)
        # In each life of the receiver they come in the order in which they were sent; only large
        # ones may be overtaken.
        if settles and fate_of(number) is not Fate.PROCESSED:
            continue  # it was put off, and those behind it went on
        if number <= last_of[life] and before.count(life) == 1 and not is_large(number):
            out_of_order += 1
        last_of[life] = max(last_of[life], number)
    delivered = set(lives_of)
    dead = dead_letters(folder) if settles else []
    duplicated += len(dead) - len(set(dead))
    return Verdict(
        accepted=len(accepted),
        delivered=len(delivered),
        lost=len(accepted - delivered - set(dead)),
        duplicated=duplicated,
        repeated=repeated,
        out_of_order=out_of_order,
        dead_letters=len(dead),
    )
