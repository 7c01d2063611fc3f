from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ._errors import NoMethodError
from ._marks import METHOD_RPC_INLINE_ATTR


class ExposedObject:
    """An object of the server, and what peers may call of it."""

    __slots__ = ("_exposed", "inline", "instance")

    inline: frozenset[str]
    """Names of the methods that are marked with :func:`inline`."""

    def __init__(self, instance: object, methods: Iterable[str] | None) -> None:
        if isinstance(methods, str):
            raise TypeError("methods is a list of names, not one string")
        self.instance = instance
        self._exposed = None if methods is None else frozenset(methods)
        for name in self._exposed or ():
            if name.startswith("_"):
                raise ValueError(f"names with an underscore cannot be exposed: {name!r}")
            if not callable(getattr(instance, name, None)):
                raise ValueError(f"{instance!r} has no method {name!r} to expose")
        self.inline = frozenset(filter(self._is_inline, dir(instance)))

    def method(self, name: str) -> Callable[..., Any]:
        """The method of this name; :exc:`NoMethodError` if it may not be called by peers."""
        if name.startswith("_") or (self._exposed is not None and name not in self._exposed):
            raise NoMethodError(name)
        if isinstance(getattr(type(self.instance), name, None), property):
            raise NoMethodError(name)  # whose code is not run to find out
        method = getattr(self.instance, name, None)
        if not callable(method):
            raise NoMethodError(name)
        return method  # type: ignore[no-any-return]

    def _is_inline(self, name: str) -> bool:
        if name.startswith("_"):
            return False
        # Here, because importing it takes 3 ms, and a process that only calls needs none of it.
        from inspect import getattr_static

        # Static: properties are not run for this.
        attribute = getattr_static(self.instance, name, None)
        if isinstance(attribute, (staticmethod, classmethod)):
            attribute = attribute.__func__
        return getattr(attribute, METHOD_RPC_INLINE_ATTR, False) is True
