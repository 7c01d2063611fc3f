"""What can be a callback: something whose body runs when it is called."""

from __future__ import annotations

import functools
import types

# Of code objects; the module inspect, which names them, takes longer to import than all of this.
_GENERATOR = 0x20
_COROUTINE = 0x80
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200
_ASYNC = _COROUTINE | _ITERABLE_COROUTINE | _ASYNC_GENERATOR


def check_callback(func: object) -> None:
    """Refuse what cannot be a callback, with a ``TypeError`` that says what to do.

    That is what is not callable, and what only returns an object that nobody would run: an
    ``async def`` function and a generator function. They are recognised inside of
    ``functools.partial``, as bound methods, and as the ``__call__`` of an object. A plain function
    that returns a coroutine is not.
    """
    if not callable(func):
        raise TypeError(f"a callback must be callable, not {func!r}")
    flags = _code_flags(func)
    if flags & _ASYNC:
        raise TypeError(
            f"{func!r} is async, and the loop of snakeMQ awaits nothing. Give a plain function; it "
            "can call asyncio.run_coroutine_threadsafe(coroutine, event_loop)"
        )
    if flags & _GENERATOR:
        raise TypeError(
            f"{func!r} is a generator function: calling it runs nothing. Give a plain function"
        )


def _code_flags(func: object) -> int:
    func = _unwrapped(func)
    if not hasattr(func, "__code__"):
        # An object with a method __call__; for a builtin this finds nothing either.
        func = _unwrapped(getattr(type(func), "__call__", None))  # noqa: B004
    return getattr(getattr(func, "__code__", None), "co_flags", 0)


def _unwrapped(func: object) -> object:
    while True:
        if isinstance(func, functools.partial):
            func = func.func
        elif isinstance(func, (types.MethodType, staticmethod, classmethod)):
            func = func.__func__
        else:
            return func
