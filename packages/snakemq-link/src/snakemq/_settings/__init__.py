"""Settings: attributes that are checked whenever they are set, by a constructor or later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

T = TypeVar("T")

Check = Callable[[str, Any], None]
"""``check(name, value)`` raises ``TypeError`` or ``ValueError`` for a wrong value."""


class Setting(Generic[T]):
    """An attribute that refuses a wrong value with ``TypeError`` or ``ValueError``.

    ``changed(instance)`` is called after each change but the first one, which the constructor
    makes. There is no ``__get__``: Python finds the value in the object's ``__dict__``, so that
    reading it calls nothing.
    """

    def __init__(self, check: Check, changed: Callable[[Any], object] | None = None) -> None:
        self._check = check
        self._changed = changed

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: object, value: T) -> None:
        self._check(self._name, value)
        is_change = self._name in instance.__dict__
        instance.__dict__[self._name] = value
        if is_change and self._changed is not None:
            self._changed(instance)

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> T: ...


class Fixed(Setting[T]):
    """A setting for the constructor alone: later it is read-only."""

    def __set__(self, instance: object, value: T) -> None:
        if self._name in instance.__dict__:
            raise AttributeError(
                f"{self._name} cannot be changed: give it to the constructor of a new"
                f" {type(instance).__name__}"
            )
        super().__set__(instance, value)


def whole(least: int, most: int | None = None, *, or_none: bool = False) -> Check:
    """Make a check for a whole number from ``least`` up, to ``most`` if that is given."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    return _check(
        f"a whole number {bounds}",
        int,
        lambda value: least <= value and (most is None or value <= most),
        or_none=or_none,
    )


def above_zero(unit: str, *, or_none: bool = False) -> Check:
    """Check for a number of some unit, above 0."""
    wanted = f"a number of {unit} above 0"
    return _check(wanted, (int, float), lambda value: value > 0, or_none=or_none)


def zero_or_more(unit: str, *, or_none: bool = False) -> Check:
    """Check for a number of some unit, 0 or above."""
    wanted = f"a number of {unit}, 0 or above"
    return _check(wanted, (int, float), lambda value: value >= 0, or_none=or_none)


def instance_of(kind: type, *, or_none: bool = False) -> Check:
    """Check for an instance of a class."""
    name = kind.__name__
    article = "an" if name[0] in "AEIOaeio" else "a"
    return _check(f"{article} {name}", kind, or_none=or_none)


def yes_or_no(name: str, value: object) -> None:
    """Check for True or False."""
    if not isinstance(value, int):  # 1.6 took 0 and 1
        raise TypeError(f"{name} must be True or False, not {value!r}")


def function(*, or_none: bool = False) -> Check:
    """Check for something that can be called."""

    def check(name: str, value: object) -> None:
        if not callable(value) and not (or_none and value is None):
            wanted = "None or a function" if or_none else "a function"
            raise TypeError(f"{name} must be {wanted}, not {value!r}")

    return check


def _check(
    wanted: str,
    kinds: type | tuple[type, ...],
    is_right: Callable[[Any], bool] = lambda _: True,
    *,
    or_none: bool = False,
) -> Check:
    if or_none:
        wanted = f"None or {wanted}"

    def check(name: str, value: object) -> None:
        if or_none and value is None:
            return
        if not isinstance(value, kinds):
            raise TypeError(f"{name} must be {wanted}, not {value!r}")
        if not is_right(value):
            raise ValueError(f"{name} must be {wanted}, not {value!r}")

    return check
