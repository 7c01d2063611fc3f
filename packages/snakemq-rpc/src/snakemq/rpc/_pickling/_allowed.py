"""Lists what a pickle may name without registration, and what is called in place of it."""

from __future__ import annotations

import builtins
import pickle
import re
from collections.abc import Callable, Mapping

import snakemq.exceptions

from .. import _errors


class CalledOnly:
    """Stands for a function that pickles call but that can do much more than they need.

    The stack of the machine holds this instead of the function. So a pickle can only call it, with
    the arguments that we allow, and never deliver it to anybody.
    """

    def __init__(self, name: str) -> None:
        self.name = name


LATIN1_ENCODE = CalledOnly("_codecs.encode")
"""Protocols 0 to 2 write bytes as a call of this."""

GETATTR = CalledOnly("builtins.getattr")
"""Python 3.11.2 writes members of enumerations as a call of this, and every version methods of
classes."""

OR = CalledOnly("_operator.or_")
"""Python 3.11.2 writes combinations of flags as a call of this."""


def _make_bytearray(*args: object) -> bytearray:
    match args:
        case ():
            return bytearray()
        case (bytes(data),):
            return bytearray(data)
        case (str(text), "latin-1"):
            return bytearray(text, "latin-1")
    raise ValueError("a bytearray is made of bytes only")  # bytearray(10**11) allocates


def _make_bytes(*args: object) -> bytes:
    if args:
        raise ValueError("only empty bytes are made by a call")
    return b""


def _make_latin1(*args: object) -> bytes:
    match args:
        case (str(text), "latin1"):
            return text.encode("latin-1")
    raise ValueError("text is encoded to Latin-1 only")


def _make_complex(*args: object) -> complex:
    match args:
        case (float(real), float(imaginary)):
            return complex(real, imaginary)
    raise ValueError("a complex number is made of two floats only")


def _make_set(*args: object) -> set[object]:
    match args:
        case (list(items),):
            return set(items)
    raise ValueError("a set is made of a list only")


def _make_frozenset(*args: object) -> frozenset[object]:
    return frozenset(_make_set(*args))


PLAIN: Mapping[object, Callable[..., object]] = {
    LATIN1_ENCODE: _make_latin1,
    bytearray: _make_bytearray,
    bytes: _make_bytes,
    complex: _make_complex,
    set: _make_set,
    frozenset: _make_frozenset,
}
"""Constructors of plain data that some protocol writes as a call."""


def _plain_names() -> dict[str, object]:
    names: dict[str, object] = {
        "_codecs.encode": LATIN1_ENCODE,
        "builtins.getattr": GETATTR,
        "__builtin__.getattr": GETATTR,
        "_operator.or_": OR,
    }
    for cls in PLAIN:
        if isinstance(cls, type):
            names[f"builtins.{cls.__name__}"] = names[f"__builtin__.{cls.__name__}"] = cls
    return names


def _exception_names() -> dict[str, type[Exception]]:
    names: dict[str, type[Exception]] = {}
    for name, value in vars(builtins).items():
        # Not SystemExit and its like: a peer must not have a way to end a thread of ours.
        if isinstance(value, type) and issubclass(value, Exception):
            for module_name in (
                "builtins",
                "exceptions",
                "__builtin__",
            ):  # old protocols use the last two
                names[f"{module_name}.{name}"] = value
    # By hand, because this is imported before snakemq.rpc reports the public home of its classes.
    for home, module in (("snakemq.exceptions", snakemq.exceptions), ("snakemq.rpc", _errors)):
        for name, value in vars(module).items():
            if (
                isinstance(value, type)
                and issubclass(value, Exception)
                and value.__module__ in (home, module.__name__)
            ):
                names[f"{home}.{name}"] = value
    return names


SIMPLE = (type(None), bool, int, float, str, bytes)
"""Types that hold nothing else, so that their text has an end."""

PLAIN_NAMES: Mapping[str, object] = _plain_names()
EXCEPTION_NAMES: Mapping[str, type[Exception]] = _exception_names()
"""Exceptions that need no registration: the builtin ones and those of snakeMQ."""

OTHER_MODULES = (
    ("pathlib.", "pathlib._local."),
    ("numpy.core.", "numpy._core."),
)
"""Modules that other versions of Python and numpy call by another name. The first one is older."""

METHODS: Mapping[str, str] = {"zoneinfo.ZoneInfo": "_unpickle"}
"""Class methods that pickles of a class call; they are registered with it."""

_MAX_FRACTION_BITS = 1 << 16
_FRACTION = re.compile(r"-?[0-9]+(/[0-9]+)?").fullmatch


def _check_fraction(args: tuple[object, ...]) -> None:
    """``Fraction("1E60000000")`` computes that power, and two long numbers are divided by what they
    have in common. Pickles have two numbers, or one text with both."""
    match args:
        case (str(text),) if len(text) <= _MAX_FRACTION_BITS and _FRACTION(text):
            return
        case (int(one), int(other)):
            if max(one.bit_length(), other.bit_length()) <= _MAX_FRACTION_BITS:
                return
    raise pickle.UnpicklingError("a Fraction is made of two numbers of up to 65,536 bits")


GUARDS: Mapping[str, Callable[[tuple[object, ...]], None]] = {"fractions.Fraction": _check_fraction}
"""Checks the arguments before a registered class or a subclass calls one of these constructors of
the standard library, because a few bytes can keep them busy without end."""
