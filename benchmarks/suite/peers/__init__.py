"""The peers that take part: a module for each, with a function for each side that it can play."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """``needs``: what must be importable; ``distributions``: whose versions are told."""

    name: str
    title: str
    needs: str = ""
    distributions: tuple[str, ...] = ()
    server: str = ""
    """The name of the broker that has to run for it, see ``services.py``."""
    environment: str = ""
    """The variable that has the Python whose environment has it; ours if there is none."""
    module: str = ""
    """The module in this package; empty: the one named like the peer."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for its processes."""

    def within(self, folder: str) -> Peer:
        """Return this peer with its module in a folder of this package; empty: as it is."""
        return replace(self, module=f"{folder}.{self.module or self.name}") if folder else self

    @cached_property
    def python(self) -> str:
        return os.environ.get(self.environment, "") if self.environment else sys.executable

    @cached_property
    def obstacle(self) -> str:
        """Why it cannot take part; empty if it can."""
        if not self.python:
            return f"{self.environment} does not say which Python has it"
        if self.needs and self._ask(f"import {self.needs}") is None:
            return f"{self.needs} cannot be imported (pip install {' '.join(self.distributions)})"
        return ""

    @cached_property
    def version(self) -> str:
        return ", ".join(
            f"{name} {self._ask(f'import importlib.metadata as m; print(m.version({name!r}))')}"
            for name in self.distributions
        )

    def _ask(self, code: str) -> str | None:
        answer = subprocess.run(
            [self.python, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, **self.variables},
        )
        return answer.stdout.strip() if answer.returncode == 0 else None


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "snakemq2",
            "snakeMQ 2",
            "snakemq.messaging",
            (
                *("snakemq-link", "snakemq-messaging", "snakemq-rpc"),
                *("snakemq-storage-sql", "snakemq-peer"),
            ),
        ),
        Peer("snakemq16", "snakeMQ 1.6", "snakemq", ("snakemq",), environment="SNAKEMQ16_PYTHON"),
        Peer("pyzmq", "pyzmq", "zmq", ("pyzmq",)),
        Peer("rpyc", "RPyC", "rpyc", ("rpyc",)),
        Peer("pyro5", "Pyro5", "Pyro5.api", ("Pyro5",)),
        Peer("nats", "NATS", "nats", ("nats-py",), server="nats"),
        Peer("grpc", "gRPC", "grpc.aio", ("grpcio",)),
        Peer("rabbitmq", "RabbitMQ", "pika", ("pika",), server="rabbitmq"),
        Peer("floor", "floor"),
    )
}


def before(clone: Path) -> Peer:
    """snakeMQ 2 of another clone, for instance of the commit before a change."""
    sources = sorted(clone.resolve().glob("packages/*/src"))
    if not sources:
        raise ValueError(f"{clone} has no packages")
    return Peer(
        "before",
        "snakeMQ before",
        module="snakemq2",
        variables={"PYTHONPATH": os.pathsep.join(map(str, sources))},
    )
