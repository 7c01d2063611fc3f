"""Turns Python objects into bytes and back."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar

from snakemq._settings import Setting, whole

from .._errors import UnregisteredClass
from ._allowed import METHODS, OTHER_MODULES
from ._builder import InertBuilder, RegisteredBuilder
from ._limits import FREE_MEMORY, MEMORY_FACTOR, max_memory
from ._machine import Machine
from ._plain import SHORT, is_plain

Registered = TypeVar("Registered", bound=Callable[..., Any])

PROTOCOL = 4
"""Every Python since 3.4 knows it, and so does every possible peer."""

_STACK_GLOBAL = b"\x93"
_may_name_a_class = re.compile(rb"(?s:\x93(?:(?<=\x94.)|(?<=h..)|(?<=j.{5})))").search
"""Finds every ``STACK_GLOBAL`` that ``pickle`` writes, and little else: the opcode comes directly
behind a name, which is then put into the memo or taken from it. The byte alone is in the ids of one
process in 16, which would check each of its requests (6 functions a call), and in every en dash."""
_LONG1 = b"\x8a"
_NUMBERS = (b"J", b"G")
_EVIDENT = 100_000
"""Bytes. Below this, neither the memory of containers nor a shared text can reach a limit."""
_TUPLES = (b"\x85\x94", b"\x86\x94", b"\x87\x94", b"t\x94", b"\x91\x94")


class Pickler(Protocol):
    """Describes what RPC needs of a pickler; the standard module ``pickle`` is one."""

    @property
    def PickleError(self) -> type[Exception]:  # noqa: N802
        """The root of the errors that ``loads`` and ``dumps`` raise."""

    def loads(self, data: bytes, /) -> Any:
        """Return the object that these bytes encode."""

    def dumps(self, obj: Any, /) -> bytes:
        """Encode the object."""


TRUSTING: Pickler = pickle


class SafePickler:
    """Pickles for peers that are not trusted. The default of server and client.

    It reads, in protocols 0 to 5,

    - plain data: None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set
      and frozenset,
    - builtin exceptions (those under ``Exception``), and those of snakeMQ,
    - what you registered with this very pickler, see :meth:`register`.

    It refuses anything else before executing it. It writes what ``pickle`` writes, but only what a
    pickler with the same registrations and the same ``memory_factor`` reads; it refuses the rest
    here, where you can correct it.

    The time to read is proportional to the length of any data: it counts hashing, comparing and
    copying, and refuses data that need more steps than their length grants. It does not count what
    the methods of registered classes and functions do.

    The setting is an attribute too:

    - ``memory_factor``: the objects of a pickle may take 64 MiB and this many bytes for each byte
      of the pickle, by an estimate (really up to three times that, for a moment). Rows of a table
      take about ten, lists of small dicts 20 to 40; a million empty sets would take 200.

    It reads tuples, frozensets and objects nested up to 500 deep, and lists and dicts as deep as
    ``pickle`` writes them.

    Thread-safe, except for registration: register before the loop runs.
    """

    memory_factor: Setting[int] = Setting(whole(0))

    PickleError: type[Exception] = pickle.PickleError

    def __init__(self, *, memory_factor: int = MEMORY_FACTOR) -> None:
        self.memory_factor = memory_factor
        self._registered: dict[str, Callable[..., Any]] = {}
        self._encoders: dict[type, Callable[[Any], tuple[Any, ...]]] = {}
        self._decoders: dict[object, Callable[..., Any]] = {}
        self._builder = RegisteredBuilder({}, {})

    def register(
        self,
        something: Registered,
        /,
        *,
        names: Iterable[str] = (),
        encode: Callable[[Any], tuple[Any, ...]] | None = None,
        decode: Callable[..., Any] | None = None,
    ) -> Registered:
        """Allow objects of a class, or calls of a function, in what is read and written.

        Both sides have to register it. Returns its argument, so it can be used as a decorator.

        *A class.* A peer can then make such objects with any arguments and any state, and fill,
        hash and compare them, as far as the class allows: register only classes that just hold
        data. Register subclasses separately, and the classes of what the objects hold. Objects are
        read in protocol 2 and later; ``__getnewargs_ex__`` needs 4.

        *A class with* ``encode`` *and* ``decode``. This is the safest way, and the only one for
        what ``pickle`` cannot write, or writes with functions that can do too much. ``encode(obj)``
        returns a tuple, for example of plain data; the other side calls ``decode(*that_tuple)``, by
        default the class itself, and makes its objects in no other way.

        *A function*, because some pickles call one (``array._array_reconstructor``). A peer can
        then call it with any arguments.

        ``names``: what other versions call it, with the module: ``["shop.v1.Order"]``. It knows
        those of ``pathlib`` and numpy already.

        Raises ``TypeError`` for anything without a name or not callable, and for metaclasses.
        """
        name = _name_of(something)
        if (encode or decode) and not isinstance(something, type):
            raise TypeError(f"encode and decode are for the objects of a class, not {something!r}")
        found: dict[str, Callable[..., Any]] = dict.fromkeys((name, *names), something)
        for older, newer in OTHER_MODULES:
            for old, new in ((older, newer), (newer, older)):
                if name.startswith(old):
                    found.setdefault(name.replace(old, new, 1), something)
        if name in METHODS and not decode:
            found[f"{name}.{METHODS[name]}"] = getattr(something, METHODS[name])
        self._registered.update(found)
        if isinstance(something, type):
            if encode:
                self._encoders[something] = encode
            if encode or decode:
                self._decoders[something] = decode or something
        self._builder = RegisteredBuilder(self._registered, self._decoders)
        return something

    def loads(self, data: bytes, /) -> Any:
        """Return the object of a pickle.

        Raises ``pickle.UnpicklingError`` whatever is wrong, and its subclass
        :exc:`UnregisteredClass` if the pickle only names something that is not registered.
        """
        # 2.3 µs for the request of a call with two numbers, 1.0 of them for the look ahead.
        # copy of max_memory(), whose call would take 0.03 µs more
        limit = FREE_MEMORY + self.memory_factor * len(data)
        if is_plain(data, limit):
            try:
                return pickle.loads(data)
            except Exception as exc:
                raise pickle.UnpicklingError(f"broken pickle: {exc}") from exc
        return Machine(data, self._builder, limit).run()

    def loads_measured(self, data: bytes, /) -> tuple[Any, int]:
        """Return the object of a pickle, and how many bytes of memory it takes, as estimated."""
        limit = max_memory(len(data), self.memory_factor)
        # copy of loads()
        if taken := is_plain(data, limit):
            try:
                return pickle.loads(data), taken + len(data)
            except Exception as exc:
                raise pickle.UnpicklingError(f"broken pickle: {exc}") from exc
        machine = Machine(data, self._builder, limit)
        return machine.run(), machine.costs.memory + len(data)

    def dumps(self, obj: Any, /) -> bytes:
        """Return the pickle of an object.

        Unless it is evidently plain, this reads it as a peer would, to see whether that works.
        Raises what ``pickle.dumps`` raises, :exc:`UnregisteredClass`, and ``pickle.PicklingError``
        for what is nested too deeply, too expensive, or cannot be made again.
        """
        data = self._encode(obj) if self._encoders else pickle.dumps(obj, PROTOCOL)
        # For a request of a call with two numbers this takes 0.1 µs.
        if (_STACK_GLOBAL in data and _may_name_a_class(data)) or (
            len(data) > SHORT and not _is_evidently_plain(data)
        ):
            self._check(data)
        return data

    def dumps_unchecked(self, obj: Any, /) -> bytes:
        """Return the pickle of an object without checking that this pickler could read it.

        For peers that may have registered more.
        """
        return self._encode(obj) if self._encoders else pickle.dumps(obj, PROTOCOL)

    def has_codec(self, cls: type, /) -> bool:
        """Was the class registered with ``encode`` or ``decode``?"""
        return cls in self._decoders

    def _encode(self, obj: Any) -> bytes:
        file = io.BytesIO()
        _Encoding(file, self._encoders).dump(obj)
        return file.getvalue()

    def _check(self, data: bytes) -> None:
        limit = max_memory(len(data), self.memory_factor)
        try:
            if not is_plain(data, limit):
                Machine(data, self._builder, limit).run()
        except UnregisteredClass:
            raise
        except pickle.UnpicklingError as exc:
            text = f"the other side would refuse this: {exc}"
            if exc.__cause__ is not None:
                text += "; give the class a __reduce__, or register it with encode= and decode="
            raise pickle.PicklingError(text) from exc


def loads_measured(pickler: Pickler, data: bytes) -> tuple[Any, int]:
    """See :meth:`SafePickler.loads_measured`. Other picklers do not tell: then it is the length."""
    if isinstance(pickler, SafePickler):
        return pickler.loads_measured(data)
    return pickler.loads(data), len(data)


def makes_otherwise(pickler: Pickler, cls: type) -> bool:
    """Does a pickler make the objects of a class in another way than ``pickle``?"""
    return isinstance(pickler, SafePickler) and pickler.has_codec(cls)


def _is_evidently_plain(data: bytes) -> bool:
    """Is a pickle of ours, which names no class, certainly within the limits of a reader?

    They are for depth, memory, and keys with equal hashes, which are long numbers or tuples. Takes
    a hundredth of the time of :func:`is_plain`.
    """
    return (
        len(data) <= _EVIDENT
        and _LONG1 not in data
        and sum(map(data.count, _NUMBERS)) <= 1000
        and sum(map(data.count, _TUPLES)) <= 100
    )


class _Encoding(pickle.Pickler):
    """Writes objects of some classes as calls of the class with what its encoder returns."""

    def __init__(
        self, file: io.BytesIO, encoders: dict[type, Callable[[Any], tuple[Any, ...]]]
    ) -> None:
        super().__init__(file, PROTOCOL)
        self._encoders = encoders

    def reducer_override(self, obj: Any) -> Any:
        cls = type(obj)
        encode = self._encoders.get(cls)
        if encode is None:
            return NotImplemented
        args = encode(obj)
        if type(args) is not tuple:
            raise TypeError(f"encode of {cls.__name__} has to return a tuple, not {args!r}")
        return cls, args


def _name_of(something: object) -> str:
    """``"module.qualified.name"``, as pickles have it."""
    if isinstance(something, type):
        if issubclass(something, type):
            raise TypeError(f"only ordinary classes can be registered, not {something!r}")
        return f"{something.__module__}.{something.__qualname__}"
    name = getattr(something, "__qualname__", None)
    owner = getattr(something, "__self__", None)
    module = getattr(something, "__module__", None) or getattr(owner, "__module__", None)
    if not callable(something) or not isinstance(name, str) or not isinstance(module, str):
        raise TypeError(f"only ordinary classes and functions can be registered, not {something!r}")
    return f"{module}.{name}"


def loads_inert(data: bytes) -> Any:
    """Return the object of a pickle, with stand-ins for anything that is not plain data.

    Use it to look at what cannot be decoded. It executes nothing, and costs no more than
    :class:`SafePickler`. Raises ``UnpicklingError``.
    """
    return Machine(data, InertBuilder(), max_memory(len(data))).run()


def names_in(data: bytes) -> set[str]:
    """Return the names of the classes and functions in a pickle. Raises ``UnpicklingError``."""
    builder = InertBuilder()
    Machine(data, builder, max_memory(len(data))).run()
    return builder.names


def dumps_of(pickler: Pickler) -> Callable[[Any], bytes]:
    """Return ``pickler.dumps``, in the protocol that every peer knows."""
    if pickler is TRUSTING:
        return partial(pickle.dumps, protocol=PROTOCOL)
    return pickler.dumps


def dumps_unchecked_of(pickler: Pickler) -> Callable[[Any], bytes]:
    """Like :func:`dumps_of`, for data that the pickler of this side need not be able to read."""
    if isinstance(pickler, SafePickler):
        return pickler.dumps_unchecked
    return dumps_of(pickler)
