"""A server that is killed while it runs signals: what the sender hears of is what has run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from snakemq.message import FLAG_PERSISTENT
from snakemq.rpc import SafePickler
from snakemq.rpc._protocol import REQUEST_PREFIX
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.chaos.journal import read
from tests.support.processes import Script, scripts
from tests.support.running_stack import Stack

SIGNALS = 300
KILLS = 3
"""Each as soon as the sender has heard of more signals; the server runs 32 at a time."""

TTL = 600.0


def signal(number: int) -> bytes:
    request = {"command": "signal", "object": "worker", "method": "work"}
    return REQUEST_PREFIX + SafePickler().dumps({**request, "args": (number,), "kwargs": {}})


class Sender(Stack):
    def __init__(self, storage: SqliteQueuesStorage | None) -> None:
        self.delivered: list[bytes] = []
        super().__init__("client", storage=storage)
        self.messaging.on_message_delivered.add(
            lambda _conn_id, _ident, uuid: self.write(self.delivered, uuid)
        )


@pytest.mark.parametrize("with_storage", [False, True], ids=["memory", "sqlite"])
def test_signals_that_did_not_run_are_run_by_the_next_process(
    tmp_path: Path, with_storage: bool
) -> None:
    storage = SqliteQueuesStorage(tmp_path / "outgoing.db") if with_storage else None
    flags = FLAG_PERSISTENT if with_storage else 0

    def start(port: int) -> tuple[Script, int]:
        script = running.start("signals.py", tmp_path, port, int(with_storage))
        return script, int(script.wait_for("ready").split()[1])

    def numbers_run() -> list[int]:
        return [int(line[0]) for line in read(tmp_path / "ran")]

    with scripts(Path(__file__).parent, tmp_path) as running:
        server, port = start(0)
        sender = Sender(storage)
        try:
            sender.dial(("127.0.0.1", port))
            number_of = {
                sender.send("server", signal(number), TTL, flags): number
                for number in range(SIGNALS)
            }
            for times in range(1, KILLS + 1):
                sender.until_connected("server", times)
                heard = len(sender.delivered)
                sender.until(lambda heard=heard: len(sender.delivered) > heard)  # type: ignore[misc]
                server.kill()
                sender.until(lambda times=times: len(sender.disconnected) >= times)  # type: ignore[misc]
                delivered = {number_of[uuid] for uuid in sender.delivered}
                assert delivered <= set(numbers_run())
                server, _ = start(port)
            sender.until(lambda: len(sender.delivered) == SIGNALS)
            runs = Counter(numbers_run())
            assert set(runs) == set(range(SIGNALS))
            assert sender.dropped == []
            # Only those are run again that were running, or of which the sender had not yet heard.
            assert max(runs.values()) <= 1 + KILLS
        finally:
            sender.close()
            if storage is not None:
                storage.close()
