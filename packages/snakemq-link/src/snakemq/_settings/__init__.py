"""Settings: attributes that are checked whenever they are set, by a constructor or later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

T = TypeVar("T")


class Setting(Generic[T]):
    """An attribute that refuses a wrong value with ``TypeError`` or ``ValueError``.

    ``check(name, value)`` raises them. There is no ``__get__``: Python finds the value in the
    object's ``__dict__``, so that reading it calls nothing.
    """

    def __init__(self, check: Callable[[str, object], None]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: object, value: T) -> None:
        self._check(self._name, value)
        instance.__dict__[self._name] = value

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> T: ...


def whole(least: int) -> Callable[[str, object], None]:
    """Make a check for a whole number that is at least ``least``."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, not {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value!r}")

    return check


def seconds(name: str, value: object) -> None:
    """Check for a time above 0 seconds."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not value > 0:
        raise ValueError(f"{name} must be above 0 seconds, not {value!r}")


def yes_or_no(name: str, value: object) -> None:
    """Check for True or False."""
    if not isinstance(value, int):  # 1.6 took 0 and 1
        raise TypeError(f"{name} must be True or False, not {value!r}")


def function(name: str, value: object) -> None:
    """Check for something that can be called, or ``None``."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function or None, not {value!r}")
