"""Remote objects, whose methods are awaited, and served objects with async methods."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from snakemq.messaging import Messaging
from snakemq.peer._arrivals import Arrivals
from snakemq.peer._rpc import Calls
from snakemq.rpc import RemoteError, RpcInstProxy
from snakemq.rpc import RemoteMethod as BlockingMethod

from ._drivers import Driver
from ._messages import TURN

OnEnd = Callable[[Any, BaseException | None], object]


class AsyncCalls(Calls):
    """The server and the client of one peer, each made when it is needed. For the loop of the link
    only."""

    def __init__(
        self, messaging: Messaging, arrivals: Arrivals, timeout: float | None, tasks: MethodTasks
    ) -> None:
        super().__init__(messaging, arrivals, timeout)
        self._tasks = tasks

    def serve_async(
        self,
        name: str,
        instance: object,
        methods: Iterable[str] | None,
    ) -> None:
        """See :meth:`Peer.serve`."""
        self.server.run_coroutine = self._tasks.run
        self.serve(name, instance, methods)


class MethodTasks:
    """Runs the async methods of served objects, each in a task of its own."""

    def __init__(self, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        self._driver = driver
        self._loop = loop
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    def run(self, coroutine: Coroutine[Any, Any, Any], on_end: OnEnd) -> None:
        """Begin a method, soon. Thread-safe."""
        if self._loop.is_closed():
            raise RuntimeError("the event loop is closed")
        self._driver.post(partial(self._start, coroutine, on_end))

    def _start(self, coroutine: Coroutine[Any, Any, Any], on_end: OnEnd) -> None:
        if self._is_over:
            coroutine.close()
            on_end(None, asyncio.CancelledError())
            return
        task = self._loop.create_task(
            _run(coroutine, on_end), context=self._context.copy(), name="snakemq-method"
        )
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, coroutine, on_end))

    def _done(
        self, coroutine: Coroutine[Any, Any, Any], on_end: OnEnd, task: asyncio.Task[None]
    ) -> None:
        self._tasks.discard(task)
        coroutine.close()  # it may have been cancelled before it began
        if task.cancelled():
            on_end(None, asyncio.CancelledError("the server was shut down"))

    @property
    def is_current(self) -> bool:
        """Is it one of these methods that calls this?"""
        return asyncio.current_task() in self._tasks

    def cancel(self) -> set[asyncio.Task[None]]:
        """Cancel what runs, and begin nothing any more. Returns the tasks, without the current
        one, which is not cancelled."""
        self._is_over = True
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        for task in tasks:
            task.cancel()
        return tasks


async def _run(coroutine: Coroutine[Any, Any, Any], on_end: OnEnd) -> None:
    try:
        value = await coroutine
    except Exception as exc:
        on_end(None, exc)
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the end of the task tells it
        on_end(None, exc)  # it has waited for something that was cancelled
    except BaseException as exc:
        on_end(None, exc)
        raise
    else:
        on_end(value, None)


class RemoteObject:
    """Stands for an object that a peer serves: each attribute is a :class:`RemoteMethod`.

    The peer is not asked, so every name that does not begin with an underscore is an attribute. A
    method is always the same object, and keeps its settings.
    """

    def __init__(self, proxy: RpcInstProxy, driver: Driver) -> None:
        self._proxy = proxy
        self._driver = driver

    def __getattr__(self, name: str) -> RemoteMethod:
        # Called for the first use of a method only; later ones are as fast as any attribute.
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is not the name of a remote method")
        method = RemoteMethod(getattr(self._proxy, name), self._driver)
        self.__dict__[name] = method
        return method

    def __repr__(self) -> str:
        return f"<RemoteObject {self._proxy!r}>"


class RemoteMethod:
    """A method of a remote object. It is called with ``await``."""

    def __init__(self, method: BlockingMethod, driver: Driver) -> None:
        self._method = method
        self._driver = driver
        self._signals = 0

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method, and wait until there is a result; for a signal: send it, return None.

        A call waits for the peer to connect. If the connection breaks, the next one repeats the
        request. A server of version 2 still executes it only once, one of 1.6 each time it gets
        it. If this is cancelled, the call is forgotten, but the method may have been, or will be,
        executed.

        Raises what :meth:`snakemq.rpc.RemoteMethod.__call__` does.
        """
        method = self._method
        self._driver.expect()
        if method.signal_timeout is not None:
            method(*args, **kwargs)
            self._signals += 1
            if self._signals % TURN == 0:
                await asyncio.sleep(0)  # a task that only sends must not keep the others waiting
            return None
        outcome = _Outcome(self._driver)
        forget = method.begin(outcome, *args, **kwargs)
        try:
            return await outcome.future
        except BaseException:
            forget()
            raise
        finally:
            del outcome, forget  # an error has this frame in its traceback

    def as_signal(self, timeout: float | None = 0) -> None:
        """Mark the method as a signal, or with None as a regular one again.

        ``timeout``: seconds that the signal waits for the peer; 0: only if it is connected now.
        """
        self._method.as_signal(timeout)

    def set_timeout(self, timeout: float | None) -> None:
        """Set the seconds that a regular call waits for its reply; None: forever."""
        self._method.set_timeout(timeout)

    def __repr__(self) -> str:
        return f"<RemoteMethod {self._method!r}>"


class _Outcome:
    """Waits for the outcome of a call."""

    __slots__ = ("_driver", "future")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def succeed(self, value: Any) -> None:
        self._driver.post(partial(self._succeed, value))

    def fail(self, error: BaseException) -> None:
        self._driver.post(partial(self._fail, error))

    def _succeed(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)

    def _fail(self, error: BaseException) -> None:
        if self.future.done():
            return
        try:
            self.future.set_exception(error)
        except TypeError:  # a future takes no StopIteration
            self.future.set_exception(RemoteError(type(error).__name__, str(error)))
