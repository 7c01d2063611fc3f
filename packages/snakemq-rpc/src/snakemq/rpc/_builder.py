"""Makes the objects of a pickle: for use, or inert ones to look at."""

from __future__ import annotations

import enum
import pickle
from collections.abc import Mapping
from typing import Any, Protocol

from ._constructors import EXCEPTION_NAMES, ClassName
from ._errors import UnregisteredClass

_EXCEPTIONS = frozenset(EXCEPTION_NAMES.values())


class Builder(Protocol):
    """Answers the machine's questions about anything that is not plain data."""

    def find(self, name: ClassName) -> object:
        """The class of this name, or :exc:`UnregisteredClass`."""

    def call(self, cls: object, args: tuple[Any, ...]) -> object:
        """``cls(*args)``, if ``cls`` is what :meth:`find` returned."""

    def new(self, cls: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        """``cls.__new__(cls, *args, **kwargs)``, if ``cls`` is what :meth:`find` returned."""

    def set_state(self, value: object, state: object) -> None:
        """Restore the attributes of an object."""

    def fill(self, value: Any, opcode: str, items: list[Any]) -> None:
        """Append, add or set items of an object which is not a plain list, set or dict."""


class RegisteredBuilder:
    """Makes exceptions that everybody knows, and objects of the registered classes."""

    def __init__(self, registered: Mapping[ClassName, type]) -> None:
        self._registered = registered
        self._classes = frozenset(registered.values())

    def find(self, name: ClassName) -> object:
        cls = EXCEPTION_NAMES.get(name) or self._registered.get(name)
        if cls is None:
            raise UnregisteredClass(".".join(name))
        return cls

    def call(self, cls: object, args: tuple[Any, ...]) -> object:
        if not isinstance(cls, type) or (cls not in _EXCEPTIONS and cls not in self._classes):
            raise pickle.UnpicklingError(f"a {type(cls).__name__} is not to be called")
        return cls(*args)

    def new(self, cls: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if not isinstance(cls, type) or cls not in self._classes:
            raise pickle.UnpicklingError(f"a {type(cls).__name__} has no new objects")
        return cls.__new__(cls, *args, **kwargs)

    def set_state(self, value: object, state: object) -> None:
        # All of these are objects: never is a class or a function changed. Nor is a member of
        # an enumeration, which belongs to everybody.
        cls = type(value)
        if (cls not in _EXCEPTIONS and cls not in self._classes) or isinstance(value, enum.Enum):
            raise pickle.UnpicklingError(f"a {cls.__name__} has no state to set")
        setter = getattr(cls, "__setstate__", None)
        if setter is not None and setter is not getattr(Exception, "__setstate__", None):
            setter(value, state)
            return
        instance_state, slots = state if isinstance(state, tuple) else (state, None)
        if instance_state is not None:
            _set_attributes(value, instance_state, slots=False)
        if slots is not None:
            _set_attributes(value, slots, slots=True)

    def fill(self, value: Any, opcode: str, items: list[Any]) -> None:
        if type(value) not in self._classes:
            raise pickle.UnpicklingError(f"a {type(value).__name__} takes no items")
        if opcode == "append":
            for item in items:
                value.append(item)
        elif opcode == "add":
            for item in items:
                value.add(item)
        else:
            for key, item in zip(items[::2], items[1::2], strict=True):
                value[key] = item


def _set_attributes(value: object, state: object, *, slots: bool) -> None:
    if type(state) is not dict or not all(type(name) is str for name in state):
        raise pickle.UnpicklingError("the state of an object is not a dict of attributes")
    for name, attribute in state.items():
        # Put into the dict of an object, a name like __class__ means nothing. Slots need setattr,
        # and so do exceptions, as ImportError has fields; there such a name would mean much.
        if name.startswith("__") and slots:
            raise pickle.UnpicklingError(f"a pickle must not set {name}")
        if slots or (isinstance(value, Exception) and not name.startswith("__")):
            setattr(value, name, attribute)
        else:
            value.__dict__[name] = attribute


class StandInClass:
    """A class in an inert pickle: only its name."""

    def __init__(self, name: ClassName) -> None:
        self.type_name = display_name(*name)


class StandIn:
    """An object in an inert pickle: only the name of its class, and what it was made of."""

    def __init__(self, type_name: str, args: tuple[Any, ...]) -> None:
        self.type_name = type_name
        self.args = args


class InertBuilder:
    """Makes stand-ins of everything, which do nothing, so that the rest can be looked at."""

    def find(self, name: ClassName) -> object:
        return StandInClass(name)

    def call(self, cls: object, args: tuple[Any, ...]) -> object:
        type_name = cls.type_name if isinstance(cls, (StandIn, StandInClass)) else "?"
        return StandIn(type_name, args)

    def new(self, cls: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        return self.call(cls, args)

    def set_state(self, value: object, state: object) -> None:
        pass

    def fill(self, value: Any, opcode: str, items: list[Any]) -> None:
        pass


def display_name(module: str, qualname: str) -> str:
    """``"shop.Order"``, but ``"ValueError"`` for what is builtin."""
    return (
        qualname if module in ("builtins", "exceptions", "__builtin__") else f"{module}.{qualname}"
    )
