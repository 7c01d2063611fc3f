"""Events as attributes, to which a function can be assigned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, ParamSpec

from ._callback import Callback

P = ParamSpec("P")


class Event(Generic[P]):
    """An attribute that holds a :class:`Callback` and takes a function instead of it.

    ::

        class Door:
            on_open: Event[[str]] = Event()

            def __init__(self) -> None:
                self.on_open = Callback()

        door = Door()
        door.on_open.add(ring)
        door.on_open = ring      # replaces what users have added, see Callback.replace()

    The first assignment, that of a :class:`Callback`, makes the event; after it the attribute holds
    the same one for as long as the object lives.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    if TYPE_CHECKING:
        # There is no such method: Python finds the callback in the __dict__ of the object, which
        # costs no call.
        def __get__(self, obj: object, owner: type | None = None) -> Callback[P]: ...

    def __set__(self, obj: object, value: Callback[P] | Callable[P, object] | None) -> None:
        attributes = vars(obj)
        event = attributes.get(self._name)
        if event is None:
            if not isinstance(value, Callback):
                raise TypeError(f"{self._name} is assigned a Callback at first, not {value!r}")
            attributes[self._name] = value
        elif value is not event:  # it is for `door.on_open = door.on_open`
            event.replace(value)
