"""Starts the processes, kills them at random moments, and starts them again."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.support.processes import Script, scripts

from . import journal
from .verdict import Verdict, judge

SCRIPTS = Path(__file__).parent

MOST_REMEMBERED = 1_000_000
"""More uuids than an inbox keeps."""


@dataclass(frozen=True)
class Plan:
    messages: int
    seed: int = 0
    kills: int | None = None
    """After this many kills the processes are left alone; ``None``: never."""
    pause: tuple[float, float] = (0.2, 2.0)
    """Seconds that a process lives at least and at most before it is chosen to be killed."""
    with_inbox: bool = True
    settles: bool = False
    """Does the receiver retry, release and reject messages?"""
    deadline: float = 600.0
    """Seconds after which the rest is called lost."""


@dataclass
class Report:
    plan: Plan
    verdict: Verdict
    seconds: float
    kills: Counter[str]
    cuts: int
    continued: int
    """How often a large message went on where it was cut off."""
    errors: list[str] = field(default_factory=list)
    """What was reported by on_error and is neither a broken nor a silent connection."""

    def __str__(self) -> str:
        verdict = self.verdict
        figures = {
            "accepted": verdict.accepted,
            "delivered": verdict.delivered,
            "dead letters": verdict.dead_letters,
            "lost": verdict.lost,
            "duplicated": verdict.duplicated,
            "repeated (killed before it was recorded)": verdict.repeated,
            "out of order": verdict.out_of_order,
            "sender killed": self.kills["sender"],
            "receiver killed": self.kills["receiver"],
            "connections cut": self.cuts,
            "large messages that went on": self.continued,
        }
        lines = [f"{count:10,}  {name}" for name, count in figures.items()]
        return "\n".join([f"{self.seconds:.1f} s, {self.plan}", *lines, *self.errors])


class Director:
    """Carries out one run."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._random = random.Random(plan.seed)
        self._kills: Counter[str] = Counter()
        self._lives: Counter[str] = Counter()
        self._unrecorded: set[tuple[int, int]] = set()
        self._processes: dict[str, Script] = {}

    def run(self) -> Report:
        begin = time.monotonic()
        with scripts(SCRIPTS, self._folder) as starter:
            self._starter = starter
            proxy = starter.start("proxy.py", self._folder, self._plan.seed)
            self._port = int(proxy.wait_for("port").split()[1])
            self._start("receiver")
            self._start("sender")
            self._kill_and_restart(begin + self._plan.deadline)
        return Report(
            plan=self._plan,
            verdict=judge(
                self._folder, self._unrecorded, self._plan.with_inbox, self._plan.settles
            ),
            seconds=time.monotonic() - begin,
            kills=self._kills,
            cuts=len(list(journal.read(self._folder / "cuts"))),
            continued=len(list(journal.read(self._folder / "continued"))),
            errors=self._surprises(),
        )

    def _kill_and_restart(self, deadline: float) -> None:
        """Kill and restart until the sender has ended by itself, when all is delivered."""
        sender = self._processes["sender"]
        while time.monotonic() < deadline:
            kills_left = self._plan.kills is None or self._kills.total() < self._plan.kills
            pause = self._random.uniform(*self._plan.pause) if kills_left else 1.0
            try:
                code = sender.process.wait(pause)
            except subprocess.TimeoutExpired:
                if kills_left:
                    for name in self._random.choice(
                        (["sender"], ["receiver"], ["sender", "receiver"])
                    ):
                        self._kill(name)
                sender = self._processes["sender"]
            else:
                assert code == 0, f"it failed: {sender}"
                return

    def _start(self, name: str) -> None:
        self._lives[name] += 1
        rest = {
            "sender": (self._port, self._plan.messages) if name == "sender" else (),
            "receiver": (
                *(self._lives["receiver"], int(self._plan.with_inbox), int(self._plan.settles)),
            ),
        }
        script = self._starter.start(f"{name}.py", self._folder, *rest[name])
        script.wait_for("ready")
        self._processes[name] = script

    def _kill(self, name: str) -> None:
        script = self._processes[name]
        script.end()
        self._kills[name] += 1
        if name == "receiver":
            self._note_unrecorded()
        self._start(name)

    def _note_unrecorded(self) -> None:
        """The receiver is dead: what had it processed that its inbox does not know?"""
        if not self._plan.with_inbox:
            return
        inbox = SqliteQueuesStorage(self._folder / "inbox.db")
        recorded = {uuid.hex() for uuid in inbox.recall("sender", MOST_REMEMBERED)}
        inbox.close()
        life = self._lives["receiver"]
        mine = [w for w in journal.read(self._folder / "received") if int(w[0]) == life]
        for _, number, uuid in reversed(mine):
            if uuid in recorded:
                break  # it records in the order in which it processes
            self._unrecorded.add((life, int(number)))

    def _surprises(self) -> list[str]:
        expected = ("SnakeMQTimeout", "SnakeMQDuplicateIdent", "SnakeMQRefused", "ConnectFailed")
        lines = (" ".join(words) for words in journal.read(self._folder / "errors"))
        return [line for line in lines if not any(name in line for name in expected)]
