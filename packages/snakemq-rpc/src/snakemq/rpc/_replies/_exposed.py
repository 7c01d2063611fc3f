from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from .._errors import Error, NoMethodError
from .._marks import METHOD_RPC_INLINE_ATTR, mark_of


class ExposedObject:
    """Knows which methods of an object peers may call."""

    __slots__ = ("_exposed", "_known", "_refused", "coroutines", "inline", "instance", "marks")

    coroutines: frozenset[str]
    """Names of the methods that are ``async def``, if there is something that runs them."""
    inline: frozenset[str]
    """Names of the methods marked with :func:`inline`."""
    marks: Mapping[str, tuple[str, ...]]
    """Whom :func:`allow` names, by method; only those that are marked."""

    def __init__(
        self, instance: object, methods: Iterable[str] | None, *, runs_coroutines: bool = False
    ) -> None:
        if isinstance(methods, str):
            raise TypeError("methods is a list of names, not one string")
        self.instance = instance
        self._exposed = None if methods is None else frozenset(methods)
        functions = {
            name: _static(instance, name) for name in dir(instance) if not name.startswith("_")
        }
        self.inline = frozenset(
            name
            for name, function in functions.items()
            if getattr(function, METHOD_RPC_INLINE_ATTR, False) is True
        )
        coroutines = {name for name, function in functions.items() if _is_coroutine(function)}
        generators = {name for name, function in functions.items() if _is_generator(function)}
        self.coroutines = frozenset(coroutines if runs_coroutines else ())
        self._refused = frozenset(generators | (coroutines - self.coroutines))
        self._known = frozenset(functions)
        marks = {name: _mark_in(instance, name) for name in functions}
        self.marks = {name: mark for name, mark in marks.items() if mark is not None}
        for name in self._exposed or ():
            if name.startswith("_"):
                raise ValueError(f"names with an underscore cannot be exposed: {name!r}")
            if not callable(getattr(instance, name, None)):
                raise ValueError(f"{instance!r} has no method {name!r} to expose")
            if name in self._refused:
                raise TypeError(_no_coroutines(name))

    def names(self) -> Collection[str]:
        """Return the names that peers may call, if they may call them."""
        return self._known if self._exposed is None else self._exposed

    def method(self, name: str) -> Callable[..., Any]:
        """Return the method of this name.

        Raises :exc:`NoMethodError` if peers may not call it, and :exc:`Error` if it is an
        ``async def`` that nothing here runs.
        """
        if name.startswith("_") or (self._exposed is not None and name not in self._exposed):
            raise NoMethodError(name)
        if isinstance(getattr(type(self.instance), name, None), property):
            raise NoMethodError(name)  # checked without running its code
        method = getattr(self.instance, name, None)
        if not callable(method):
            raise NoMethodError(name)
        if name in self._refused:
            raise Error(_no_coroutines(name))
        if name not in self._known and mark_of(method) is not None:
            # Of __getattr__, so the mark was not seen when it could be checked.
            raise NoMethodError(name)
        return method  # type: ignore[no-any-return]


def _no_coroutines(name: str) -> str:
    return (
        f"{name!r} is an async method, which this server does not run; an ordinary one can hand the"
        " work to an event loop with asyncio.run_coroutine_threadsafe; snakemq.aio runs those that"
        " are no generators"
    )


def _static(instance: object, name: str) -> object:
    """Return the function behind an attribute, without running properties."""
    # Imported here because it takes 3 ms, and a process that only makes calls never needs it.
    from inspect import getattr_static

    attribute = getattr_static(instance, name, None)
    if isinstance(attribute, (staticmethod, classmethod)):
        return attribute.__func__
    return attribute


def _mark_in(instance: object, name: str) -> tuple[str, ...] | None:
    """Return the mark of a method, or else that of the method which it overrides."""
    for owner in (instance, *type(instance).__mro__):
        try:
            attribute = vars(owner).get(name)
        except TypeError:  # an instance with slots
            continue
        mark = mark_of(attribute) or mark_of(getattr(attribute, "__func__", None))
        if mark is not None:
            return mark
    return None


def _is_coroutine(function: object) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(function)


def _is_generator(function: object) -> bool:
    from inspect import isasyncgenfunction

    return isasyncgenfunction(function)
