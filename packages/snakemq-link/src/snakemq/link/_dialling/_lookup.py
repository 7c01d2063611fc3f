"""Resolves names without holding up the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, TypeAlias

from ._endpoint import Endpoint, resolve

Answer: TypeAlias = "list[Endpoint] | str"
"""Endpoints, best first, or why there are none."""

_PATIENCE_GROWTH = 4


class Settings(Protocol):
    """The settings of the link that matter here."""

    connect_timeout: float


class Loop(Protocol):
    """What a look-up needs of the loop."""

    time: Callable[[], float]

    def call_from_thread(self, func: Callable[[], object]) -> None: ...


class LookUp:
    """Resolves one name again and again, each time in a thread of its own.

    ``getaddrinfo()`` blocks for as long as the name server likes, and nothing can interrupt it.
    While a thread hangs, its answer is still welcome. A second thread starts beside it after
    ``connect_timeout``, a third one after 4 times as long, the next after 16 times as long. So
    dialling goes on even if the first one never returns, and threads do not pile up.
    """

    def __init__(self, loop: Loop, settings: Settings, name: tuple[str, int]) -> None:
        self._loop = loop
        self._settings = settings
        self._name = name
        self._on_answer: Callable[[Answer], object] | None = None
        self._hanging = 0
        self._started_at = 0.0  # the youngest thread

    @property
    def is_waiting(self) -> bool:
        """True while somebody waits for the answer."""
        return self._on_answer is not None

    def ask(self, on_answer: Callable[[Answer], object]) -> None:
        """Have ``on_answer(answer)`` called in the loop, instead of the one given before."""
        self._on_answer = on_answer
        now = self._loop.time()
        if self._hanging:
            patience = self._settings.connect_timeout * _PATIENCE_GROWTH ** (self._hanging - 1)
            if now - self._started_at < patience:
                return
        # A daemon, because it must not hold up the exit.
        thread = threading.Thread(
            target=self._resolve_in_thread, name=f"snakemq-resolve-{self._name[0]}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as exc:  # the system has no thread to spare now
            self._answer_later(self._error(exc))
            return
        self._hanging += 1
        self._started_at = now

    def forget(self) -> None:
        """Ignore the answer."""
        self._on_answer = None

    def _resolve_in_thread(self) -> None:
        answer: Answer
        try:
            answer = resolve(self._name)
        except Exception as exc:  # whatever it is, somebody waits for the answer
            answer = self._error(exc)
        self._loop.call_from_thread(lambda: self._thread_answered(answer))

    def _error(self, exc: Exception) -> str:
        return f"cannot resolve {self._name[0]!r}: {exc}"

    def _answer_later(self, answer: Answer) -> None:
        self._loop.call_from_thread(lambda: self._answer(answer))

    def _thread_answered(self, answer: Answer) -> None:
        self._hanging -= 1
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        on_answer = self._on_answer
        if on_answer is not None:
            self._on_answer = None
            on_answer(answer)
