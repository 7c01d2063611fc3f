"""RPyC: a proxy's method is looked up at each call, unless the caller keeps it."""

from __future__ import annotations

from collections.abc import Callable

import rpyc
from rpyc.utils.server import ThreadedServer

from benchmarks.suite.harness.role import Role, time_callers


class Calculator(rpyc.Service):  # type: ignore[misc]
    def exposed_add(self, a: int, b: int) -> int:
        return a + b


def calls_server(role: Role) -> None:
    server = ThreadedServer(Calculator, hostname="127.0.0.1", port=0)
    role.ready(["127.0.0.1", server.port])
    server.start()


def calls_client(role: Role) -> None:
    def new_call() -> Callable[[int, int], int]:
        root = rpyc.connect(*role.address).root
        if role.method == "cached":
            cached: Callable[[int, int], int] = root.add
            return cached
        return lambda a, b: root.add(a, b)

    time_callers(role, new_call)
    role.stay()
