"""``python -m tests.chaos.rows 100``: is each row there once, though its writer is killed?

Kills a receiver, again and again, while it inserts a row for each message, with each kind of inbox.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.rows_receiver import DATABASE, INBOXES
from tests.support.processes import Script, scripts
from tests.support.running_stack import Stack

MESSAGES = 400
"""How many wait for each receiver, which takes a few at a time."""

LONGEST = 0.005
"""Seconds from some acknowledgement to the kill, at most."""


@dataclass(frozen=True)
class Result:
    inbox: str
    kills: int
    messages: int
    missing: int
    repeated: int
    """Messages that have more than one row."""
    unheard: int
    """Kills after which rows were there of which the sender had not heard."""


def run(folder: Path, inbox: str, kills: int, seed: int) -> Result:
    """Kill receivers with that inbox."""
    dice = random.Random(seed)
    delivered: list[bytes] = []
    messages = unheard = 0
    sender = Stack("sender")
    sender.messaging.on_message_delivered.add(
        lambda _conn_id, _ident, uuid: sender.write(delivered, uuid)
    )
    with scripts(Path(__file__).parent, folder) as starter:

        def start(port: int) -> tuple[Script, int]:
            script = starter.start("rows_receiver.py", folder, port, inbox)
            return script, int(script.wait_for("ready").split()[1])

        try:
            receiver, port = start(0)
            sender.dial(("127.0.0.1", port))
            for kill in range(kills):
                while messages < len(delivered) + MESSAGES:
                    sender.send("receiver", b"%d" % messages, ttl=None)
                    messages += 1
                wanted = len(delivered) + dice.randrange(MESSAGES * 3 // 4)
                sender.until(lambda wanted=wanted: len(delivered) > wanted)  # type: ignore[misc]
                time.sleep(dice.uniform(0, LONGEST))  # the moment of the kill is what is random
                receiver.kill()
                sender.until(lambda kill=kill: len(sender.disconnected) > kill)  # type: ignore[misc]
                unheard += len(set(rows(folder))) > len(delivered)
                receiver, _ = start(port)
            sender.until(lambda: len(delivered) == messages)
        finally:
            sender.close()
    found = Counter(rows(folder))
    return Result(
        *(inbox, kills, messages, len(set(range(messages)) - set(found))),
        *(sum(times > 1 for times in found.values()), unheard),
    )


def rows(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM rows")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    for inbox in INBOXES:
        with tempfile.TemporaryDirectory(prefix="snakemq-rows-") as folder:
            print(run(Path(folder), inbox, arguments.kills, arguments.seed), flush=True)


if __name__ == "__main__":
    main()
