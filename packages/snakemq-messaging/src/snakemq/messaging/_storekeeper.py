"""Calls of a storage, made away from the loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol, TypeVar

from snakemq.exceptions import StorageError
from snakemq.link import LinkInterface

Result = TypeVar("Result")

FINISH_TIMEOUT = 5.0
"""Seconds that the end of a stack waits for its storages. A server that has stopped must not keep a
process from ending."""


ASK_TIMEOUT = 60.0
"""Seconds that a thread waits for the result of a call."""


class Runner(Protocol):
    """Runs jobs one after the other, in the order in which it gets them."""

    def run(self, job: Callable[[], object]) -> None:
        """Run a job soon, or right now. Thread-safe. Raises ``RuntimeError`` if it cannot."""

    def wait(self, timeout: float) -> bool:
        """Wait until all jobs so far are done. Returns False if that takes longer than ``timeout``
        seconds. Thread-safe."""

    def end(self) -> None:
        """Release what is not needed until the next :meth:`run`."""


class AtOnce:
    """The runner for a storage whose calls never block: see ``QueuesStorageBase.blocks``."""

    def run(self, job: Callable[[], object]) -> None:
        job()

    def wait(self, timeout: float) -> bool:
        return True

    def end(self) -> None: ...


class Storekeeper:
    """Makes the calls of one storage, in the order in which it is given them, and reports their
    outcomes in the loop.

    Whatever the runner is, an outcome is never reported from within :meth:`do`. So each caller
    needs a state that says what it waits for. Outcomes come in the order of the calls, too: when
    one is reported, so were those of all calls that were given before.
    """

    def __init__(self, link: LinkInterface, runner: Runner) -> None:
        self._link = link
        self._runner = runner
        self._outcomes: deque[Callable[[], object]] = deque()
        """Those that the loop has not seen yet."""
        self.calls = 0
        """How many calls were given."""
        self.wait = runner.wait
        """See :meth:`Runner.wait`. It reports no outcome. Thread-safe."""

    def do(
        self,
        call: Callable[[], Result],
        done: Callable[[Result], object],
        failed: Callable[[Exception], object],
    ) -> None:
        """Make a call. Then have ``done(result)`` or ``failed(error)`` called in the loop.

        Thread-safe. Never blocks, if the runner does not.
        """

        self.calls += 1

        def job() -> None:
            try:
                outcome = partial(done, call())
            except Exception as exc:
                self._report(partial(failed, exc))
            except BaseException as exc:
                error = StorageError(f"a call of the storage was interrupted by {exc!r}")
                self._report(partial(failed, error))
                raise
            else:
                self._report(outcome)

        try:
            self._runner.run(job)
        except RuntimeError as exc:  # the system has no thread to spare now
            error = StorageError(f"cannot call the storage: {exc}", temporary=True)
            self._report(partial(failed, error))

    def ask(self, call: Callable[[], Result]) -> Result:
        """Make a call after those that were given before, and return its result.

        For threads that may wait for the storage, not for the loop. Raises what the call raises,
        and :exc:`~snakemq.exceptions.StorageError` if there is no answer within a minute. Then the
        call may still be made.
        """
        results: list[Result] = []
        errors: list[BaseException] = []

        def job() -> None:
            try:
                results.append(call())
            except BaseException as exc:
                errors.append(exc)

        self._runner.run(job)
        self._runner.wait(ASK_TIMEOUT)
        if errors:
            raise errors[0]
        if not results:
            raise StorageError(f"no answer of the storage in {ASK_TIMEOUT:g} s", temporary=True)
        return results[0]

    def _report(self, outcome: Callable[[], object]) -> None:
        self._outcomes.append(outcome)
        self._link.wakeup_poll()

    # -- in the loop

    def on_loop_pass(self) -> None:
        """Report the outcomes that have come."""
        outcomes = self._outcomes
        if not outcomes:
            return
        try:
            for _ in range(len(outcomes)):  # no more, so that everything else has its turn
                if not outcomes:
                    return  # finish() was called by one of them
                outcomes.popleft()()
        finally:
            if outcomes:
                self._link.wakeup_poll()

    def finish(self, timeout: float) -> bool:
        """Wait until all calls are made and reported, and those that follow from them.

        Returns False if that takes longer than ``timeout`` seconds.
        """
        end = monotonic() + timeout
        while self._runner.wait(max(0.0, end - monotonic())):
            if not self._outcomes:
                return True
            self.on_loop_pass()
        return False

    def end(self) -> None:
        """End the thread, if there is one, until the next call needs it."""
        self._runner.end()


class Storekeepers:
    """One storekeeper for each storage of a stack. ``runner_of(storage)`` makes its runner."""

    def __init__(self, link: LinkInterface, runner_of: Callable[[object], Runner]) -> None:
        self._link = link
        self._runner_of = runner_of
        self._by_storage: list[tuple[object, Storekeeper]] = []

    def of(self, storage: object) -> Storekeeper | None:
        """Return the storekeeper of a storage; ``None`` where there is no storage."""
        if storage is None:
            return None
        for known, storekeeper in self._by_storage:
            if known is storage:
                return storekeeper
        storekeeper = Storekeeper(self._link, self._runner_of(storage))
        self._by_storage.append((storage, storekeeper))
        self._link.on_loop_pass.add_internal(storekeeper.on_loop_pass)
        return storekeeper

    def finish(self, timeout: float) -> bool:
        """See :meth:`Storekeeper.finish`. The outcome of one storage may lead to a call of
        another."""
        end = monotonic() + timeout
        storekeepers = [storekeeper for _, storekeeper in self._by_storage]
        calls = -1
        while calls != (calls := sum(k.calls for k in storekeepers)):
            finished = [k.finish(max(0.0, end - monotonic())) for k in storekeepers]
            if not all(finished):
                return False
        return True

    def end(self) -> None:
        """See :meth:`Storekeeper.end`."""
        for _, storekeeper in self._by_storage:
            storekeeper.end()
