"""examples/telemetry: each reading is in the database exactly once, whoever is killed."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.support.processes import Script, Scripts

from .endings import terminate, url_of

DEVICES = [f"device-{number}" for number in range(1, 6)]

Reading = tuple[str, int]
"""The device, and when it has measured."""


def start(run: Scripts, device: str, url: str) -> Script:
    return run.start("telemetry/device.py", device, url, 0.05)


def measured(name: str, device: Script) -> set[Reading]:
    return {(name, int(line.split()[1])) for line in device.lines if line.startswith("measured")}


def stored(database: Path) -> Counter[Reading]:
    with closing(sqlite3.connect(database)) as connection:
        return Counter(connection.execute("SELECT device, at FROM readings").fetchall())


def test_each_reading_is_stored_exactly_once(run: Scripts, tmp_path: Path) -> None:
    def collect(url: str) -> Script:
        return run.start("telemetry/collector.py", url, "readings.db")

    collector = collect("tcp://127.0.0.1:0")
    url = url_of(collector)
    devices = {name: start(run, name, url) for name in DEVICES}
    seen: set[Reading] = set()
    for _ in range(2):
        for name in DEVICES:
            collector.wait_for(f"stored {name}")
        collector.kill()
        # A device that is killed, too, has its readings in its outbox.
        victim = devices["device-1"]
        victim.wait_for("measured")
        victim.kill()
        victim.rest()
        seen |= measured("device-1", victim)
        devices["device-1"] = start(run, "device-1", url)
        collector = collect(url)

    for name, device in devices.items():
        collector.wait_for(f"stored {name}")
        terminate(device)
        assert device.lines[-1] == "left 0"
        seen |= measured(name, device)
    terminate(collector)

    rows = stored(tmp_path / "readings.db")
    assert {reading: count for reading, count in rows.items() if count != 1} == {}
    assert seen - rows.keys() == set()
    # A victim may have been killed before it could print what it had sent.
    assert len(rows.keys() - seen) <= 2
