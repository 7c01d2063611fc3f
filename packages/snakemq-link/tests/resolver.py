"""A resolver that answers as it is told, instead of the system."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from snakemq.link import Address
from snakemq.link._dialling._endpoint import Endpoint

NAME = ("peer.example.org", 4000)


def endpoint(address: Address) -> Endpoint:
    assert not isinstance(address, str)
    return Endpoint(socket.AF_INET, address)


class Resolver:
    """Answers as it is told, instead of the system."""

    def __init__(self) -> None:
        self.answers: list[Endpoint] = []
        self.asked: list[tuple[str, int]] = []
        self.threads: list[threading.Thread] = []
        self.before_answer: Callable[[], object] = int
        self.finds_nothing = False
        """Is there no answer without an error either?"""

    def __call__(self, address: tuple[str, int]) -> list[Endpoint]:
        self.asked.append(address)
        self.threads.append(threading.current_thread())
        self.before_answer()
        if not self.answers and not self.finds_nothing:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return list(self.answers)
