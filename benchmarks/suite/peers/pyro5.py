"""Pyro5, with its default serializer; a proxy belongs to one thread, so each caller has its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import Pyro5.api

from benchmarks.suite.harness.role import Role, time_callers


@Pyro5.api.expose
class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b


def calls_server(role: Role) -> None:
    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    role.ready(str(daemon.register(Calculator())))
    daemon.requestLoop()


def calls_client(role: Role) -> None:
    def new_call() -> Callable[[int, int], int]:
        add: Callable[[int, int], int] = Pyro5.api.Proxy(role.address).add
        return add

    time_callers(role, new_call)
    role.stay()


def idle_listener(role: Role) -> None:
    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    role.ready(str(daemon.register(Calculator())))
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    role.meet()
    role.stay()


def idle_dialler(role: Role) -> None:
    proxy = Pyro5.api.Proxy(role.address)
    assert proxy.add(1, 2) == 3
    role.meet()
    role.stay()
