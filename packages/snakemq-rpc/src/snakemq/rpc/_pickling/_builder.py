"""Makes the objects of a pickle that are not plain data: for use, or inert ones to look at."""

from __future__ import annotations

import builtins
import enum
import pickle
import types
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .._errors import UnregisteredClass
from ._allowed import EXCEPTION_NAMES, GETATTR, GUARDS, OR, PLAIN_NAMES, SIMPLE, CalledOnly

EXCEPTIONS = frozenset(EXCEPTION_NAMES.values())
EXCEPTIONS_IN_C = frozenset(
    cls
    for cls in vars(builtins).values()
    if isinstance(cls, type) and issubclass(cls, BaseException)
)
_FIELDS_IN_C = (types.MemberDescriptorType, types.GetSetDescriptorType)
_TEXT_MAKERS = ((str, "__new__"), (bytes, "__new__"), (bytearray, "__init__"))


class Builder(Protocol):
    """Answers the machine's questions about anything that is not plain data."""

    def find(self, name: str) -> object:
        """Return what has this dotted name, or raise :exc:`UnregisteredClass`."""

    def call(self, func: object, args: tuple[Any, ...]) -> object:
        """``func(*args)``, if ``func`` is what :meth:`find` returned."""

    def new(self, cls: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        """``cls.__new__(cls, *args, **kwargs)``, if ``cls`` is what :meth:`find` returned."""

    def set_state(self, value: object, state: object) -> None:
        """Restore the attributes of an object."""

    def fill(self, value: Any, opcode: str, items: list[Any]) -> None:
        """Append, add or set items of an object which is not a plain list, set or dict."""


class RegisteredBuilder:
    """Makes exceptions that everybody knows, and what the registered functions and classes make.

    ``registered``: by dotted names. ``decoders``: what to call in place of a class.
    """

    def __init__(
        self,
        registered: Mapping[str, Callable[..., Any]],
        decoders: Mapping[object, Callable[..., Any]],
    ) -> None:
        self._registered = dict(registered)
        self._decoders = dict(decoders)
        self._classes = frozenset(cls for cls in registered.values() if isinstance(cls, type))
        self._guards = dict(filter(None, map(_guard_of, self._classes)))
        # By id: a function of the user need not be hashable, nor compare with anything.
        self._functions = {id(func): func for func in registered.values()}

    def find(self, name: str) -> object:
        # What the user has registered comes first: getattr, for example, if it must be.
        for names in (self._registered, PLAIN_NAMES, EXCEPTION_NAMES):
            found = names.get(name)
            if found is not None:
                return found
        raise UnregisteredClass(name)

    def call(self, func: object, args: tuple[Any, ...]) -> object:
        if func is GETATTR:
            return self._member_or_method(*args)
        if func is OR:
            return self._either(*args)
        if isinstance(func, type):
            decode = self._decoders.get(func)
            if decode is not None and decode is not func:
                return decode(*args)
            if func not in EXCEPTIONS and func not in self._classes:
                raise pickle.UnpicklingError(f"{func.__name__} is not to be called")
            if issubclass(func, enum.Enum):
                return _member(func, *args)
            self._check_args(func, args)
            return func(*args)
        function = self._functions.get(id(func))
        if function is None or function is not func:
            raise pickle.UnpicklingError(f"a {type(func).__name__} is not to be called")
        return function(*args)

    def _member_or_method(self, *args: object) -> object:
        match args:
            case (type() as cls, str(name)) if cls in self._classes:
                if issubclass(cls, enum.Enum):
                    return cls.__members__[name]
                return self.find(f"{cls.__module__}.{cls.__qualname__}.{name}")
        raise UnregisteredClass(GETATTR.name)

    def _either(self, *args: object) -> object:
        match args:
            case (enum.Flag() as one, enum.Flag() | int() as other) if type(
                one
            ) in self._classes and type(other) in (type(one), int):
                return one | other  # type: ignore[operator]
        raise UnregisteredClass(OR.name)

    def new(self, cls: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if not isinstance(cls, type) or cls not in self._classes or cls in self._decoders:
            raise pickle.UnpicklingError(f"a {type(cls).__name__} has no new objects")
        self._check_args(cls, args)
        return cls.__new__(cls, *args, **kwargs)

    def _check_args(self, cls: type, args: tuple[Any, ...]) -> None:
        guard = self._guards.get(cls)
        if guard is not None:
            guard(args)
        _check_text(cls, args)

    def set_state(self, value: object, state: object) -> None:
        # All of these are objects: never is a class or a function changed. Nor is a member of
        # an enumeration, which belongs to everybody.
        cls = type(value)
        if (cls.__module__ == "builtins" and cls not in EXCEPTIONS) or isinstance(value, enum.Enum):
            raise pickle.UnpicklingError(f"a {cls.__name__} has no state to set")
        if cls not in EXCEPTIONS and cls not in self._classes:
            raise UnregisteredClass(f"{cls.__module__}.{cls.__qualname__}")
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


def _guard_of(cls: type) -> tuple[type, Callable[[tuple[object, ...]], None]] | None:
    """Return the class and that one of GUARDS which checks its arguments, if there is one."""
    for base in cls.__mro__:
        guard = GUARDS.get(f"{base.__module__}.{base.__qualname__}")
        if guard is not None and cls.__new__ is base.__new__:
            return cls, guard
    return None


def _member(cls: type[enum.Enum], *args: Any) -> enum.Enum:
    """``cls(value)``, which would put the ``repr`` of a wrong value into the text of its error:
    that of a list which holds another one twice, and so on, has no end."""
    (value,) = args
    if isinstance(value, SIMPLE):
        return cls(value)
    for member in cls.__members__.values():
        if type(member.value) is type(value) and member.value == value:
            return member
    raise ValueError(f"{cls.__name__} has no member of this value")


def _check_text(cls: type, args: tuple[Any, ...]) -> None:
    """``str`` takes anything and makes its ``repr``, which of nested tuples has no end; ``bytes``
    and ``bytearray`` take a number and allocate that many. So classes which leave it to those are
    made of text or bytes only, as their pickles have it. Some codecs take n² steps."""
    is_text = not args or isinstance(args[0], (str, bytes, bytearray))
    if is_text and args[1:] in ((), ("latin-1",)):
        return
    for base, maker in _TEXT_MAKERS:
        if issubclass(cls, base) and getattr(cls, maker) is getattr(base, maker):
            what = "with such a codec" if is_text else f"of a {type(args[0]).__name__}"
            raise pickle.UnpicklingError(
                f"a {cls.__name__} is made of text or bytes, and not {what}"
            )


def _set_attributes(value: object, state: object, *, slots: bool) -> None:
    if type(state) is not dict or not all(type(name) is str for name in state):
        raise pickle.UnpicklingError("the state of an object is not a dict of attributes")
    for name, attribute in state.items():
        # Put into the dict of an object, a name like __class__ means nothing. Slots need setattr,
        # and so do exceptions, as ImportError has fields; there such a name would mean much.
        if name.startswith("__"):
            if slots:
                raise pickle.UnpicklingError(f"a pickle must not set {name}")
        elif isinstance(value, Exception) and hasattr(
            field := getattr(type(value), name, None), "__set__"
        ):
            _check_field(value, field, name, attribute)
            setattr(value, name, attribute)
            continue
        if slots:
            setattr(value, name, attribute)
        else:
            value.__dict__[name] = attribute


def _check_field(value: object, field: object, name: str, attribute: object) -> None:
    """Exceptions that are written in C copy what they are given as a field (``args``, or the
    ``name`` of an ImportError), and are destroyed without a guard for the C stack. So a field only
    gets what is neither copied nor nested."""
    if not isinstance(field, _FIELDS_IN_C) or field.__objclass__ not in EXCEPTIONS_IN_C:
        return
    if not (type(attribute) is tuple if name == "args" else isinstance(attribute, SIMPLE)):
        raise pickle.UnpicklingError(
            f"{type(value).__name__}.{name} must not be a {type(attribute).__name__} in a pickle"
        )


class StandInClass:
    """A class in an inert pickle: only its name."""

    def __init__(self, name: str) -> None:
        self.type_name = _displayed(name)


class StandIn:
    """An object in an inert pickle: only the name of its class, and what it was made of."""

    def __init__(self, type_name: str, args: tuple[Any, ...]) -> None:
        self.type_name = type_name
        self.args = args


class InertBuilder:
    """Makes stand-ins of everything, which do nothing, so that the rest can be looked at."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        """What the pickle names, but for the constructors of plain data."""

    def find(self, name: str) -> object:
        self.names.add(name)
        return PLAIN_NAMES.get(name) or StandInClass(name)

    def call(self, func: object, args: tuple[Any, ...]) -> object:
        if isinstance(func, (StandIn, StandInClass)):
            return StandIn(func.type_name, args)
        return StandIn(func.name if isinstance(func, CalledOnly) else "?", args)

    def new(self, cls: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        return self.call(cls, args)

    def set_state(self, value: object, state: object) -> None:
        pass

    def fill(self, value: Any, opcode: str, items: list[Any]) -> None:
        pass


def display_name(module: str, qualname: str) -> str:
    """``"shop.Order"``, but ``"ValueError"`` for what is builtin."""
    return _displayed(f"{module}.{qualname}")


def _displayed(name: str) -> str:
    module, _, rest = name.partition(".")
    return rest if module in ("builtins", "exceptions", "__builtin__") else name
