"""Reads what a request asks for from its front, without decoding its arguments.

Every client writes the names of object and method before the arguments: ours and 1.6 build a dict
in that order, and Python keeps it. So whether a peer may call a method is decided before anything
that it sends along is made an object, and costs the same however long that is.

Nothing is guessed. Only the opcodes are read that ``pickle`` writes there, in protocols 3 to 5, and
only one front exists for each name; anything else has no front. A peer can still write a pickle
whose later part says something else, for example a second key of the same name. So the decoded
request is compared with its front, see :func:`is_front_of`.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from ._protocol import REQUEST_PREFIX, Request

Front: TypeAlias = tuple[str, str, bool]
"""The names of object and method, and whether it is a signal. A class with names for the three
would cost each request 0.3 µs more."""

LONGEST_FRONT = 4096
"""In bytes. Names of objects and methods have to fit in."""

_MOST_KEYS = 16
"""Before the arguments; we write five."""


def read_front(request: bytes) -> Front | None:
    """Return the front of a request, with its prefix; ``None`` if it is not written as clients
    write it."""
    return _read_ours(request) or _read_any(request[:LONGEST_FRONT])


def is_front_of(front: Front, request: Request) -> bool:
    """Does the decoded request ask for what its front said?"""
    object_name, method, is_signal = front
    return (
        request["object"] == object_name
        and request["method"] == method
        and (request["command"] == "signal") is is_signal
    )


# Our clients' own: a pickle of protocol 4 with short names, all of them new in the memo. This takes
# 0.9 µs, and _read_any() 11.
_OURS = (
    REQUEST_PREFIX + rb"\x80\x04\x95.{8}\}\x94\("
    rb"(?:\x8c\x06req_id\x94C\x10.{16}\x94)?"
    rb"(?:\x8c\x07timeout\x94G.{8})?"
    rb"\x8c\x07command\x94\x8c(?:\x04call|\x06signal())\x94"
    rb"\x8c\x06object\x94\x8c."
)


def _match_first(request: bytes) -> re.Match[bytes] | None:
    """Match, but compile the pattern before. Few servers have a policy."""
    global _match_ours
    _match_ours = re.compile(_OURS, re.DOTALL).match
    return _match_ours(request)


_match_ours: Callable[[bytes], re.Match[bytes] | None] = _match_first
_BETWEEN = b"\x94\x8c\x06method\x94\x8c"
_BEHIND = b"\x94\x8c\x04args\x94"


def _read_ours(request: bytes) -> Front | None:
    match = _match_ours(request)
    if match is None:
        return None
    begin = match.end()
    end = begin + request[begin - 1]  # the length of the name
    method_begin = end + 12  # len(_BETWEEN), and the length of the next name
    if request[end : method_begin - 1] != _BETWEEN or method_begin > len(request):
        return None
    method_end = method_begin + request[method_begin - 1]
    if request[method_end : method_end + 8] != _BEHIND:
        return None
    try:
        return (
            request[begin:end].decode(),
            request[method_begin:method_end].decode(),
            match.lastindex is not None,
        )
    except UnicodeDecodeError:
        return None


def _read_any(request: bytes) -> Front | None:
    """Read the front opcode by opcode."""
    if not request.startswith(REQUEST_PREFIX):
        return None
    try:
        fields = _Reader(request, len(REQUEST_PREFIX)).fields_before_arguments()
    except (IndexError, KeyError, ValueError):
        return None
    command, object_name, method = map(fields.get, ("command", "object", "method"))
    if (
        command not in ("call", "signal")
        or not isinstance(object_name, str)
        or not isinstance(method, str)
    ):
        return None
    return object_name, method, command == "signal"


class _Reader:
    """Walks over the first opcodes of a pickle. Raises ``IndexError``, ``KeyError`` and
    ``ValueError`` for whatever it does not expect."""

    def __init__(self, data: bytes, begin: int) -> None:
        self._data = data
        self._position = begin
        self._memo: list[object] = []

    def fields_before_arguments(self) -> dict[object, object]:
        """Return what the pickled dict has before ``args``."""
        self._begin()
        fields: dict[object, object] = {}
        for _ in range(_MOST_KEYS):
            key = self._value()
            if key == "args":
                return fields
            if type(key) is not str or key in fields or key == "kwargs":
                raise ValueError("a key that does not belong here")
            fields[key] = self._value()
        raise ValueError("no arguments")

    def _begin(self) -> None:
        if self._take(2) not in (b"\x80\x03", b"\x80\x04", b"\x80\x05"):
            raise ValueError("another protocol")
        if self._data[self._position] == 0x95:  # FRAME
            self._take(9)
        self._expect(b"}")
        self._memoize({})
        self._expect(b"(")

    def _value(self) -> object:
        opcode = self._take(1)
        if opcode == b"h":  # BINGET: pickle writes the same string only once
            return self._memo[self._take(1)[0]]
        value: object
        if opcode == b"\x8c":  # SHORT_BINUNICODE
            value = str(self._take(self._take(1)[0]), "utf-8", "surrogatepass")
        elif opcode == b"X":  # BINUNICODE
            length = int.from_bytes(self._take(4), "little")
            value = str(self._take(length), "utf-8", "surrogatepass")
        elif opcode == b"C":  # SHORT_BINBYTES
            value = self._take(self._take(1)[0])
        else:
            # A number, whose value is of no interest here; these are not memoized.
            self._take({b"G": 8, b"K": 1, b"M": 2, b"J": 4, b"N": 0}[opcode])
            return None
        self._memoize(value)
        return value

    def _memoize(self, value: object) -> None:
        """Put a value into the memo, as ``pickle`` does with each the first time."""
        opcode = self._take(1)
        if opcode == b"q":  # BINPUT, of protocol 3
            if self._take(1)[0] != len(self._memo):
                raise ValueError("another place in the memo than the next one")
        elif opcode != b"\x94":  # MEMOIZE
            raise ValueError("not memoized")
        self._memo.append(value)

    def _expect(self, opcode: bytes) -> None:
        if self._take(1) != opcode:
            raise ValueError("another opcode")

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._data):
            raise IndexError("the front is truncated, or too long")
        taken = self._data[self._position : end]
        self._position = end
        return taken
