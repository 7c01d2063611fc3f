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
from typing import NamedTuple

from ._protocol import Request, is_req_id

LONGEST_FRONT = 4096
"""In bytes. Names of objects and methods have to fit in."""

_MOST_KEYS = 16
"""Before the arguments; we write five."""


class Front(NamedTuple):
    """What a request asks for."""

    object: str
    method: str
    is_signal: bool
    req_id: bytes | None
    """``None`` if it is not at the front. 1.6 writes it last."""


def read_front(body: bytes) -> Front | None:
    """Return the front of a pickled request; ``None`` if it is not written as clients write it."""
    return _read_ours(body) or _read_any(body[:LONGEST_FRONT])


def is_front_of(front: Front, request: Request) -> bool:
    """Does the decoded request ask for what its front said?"""
    return (
        request["object"] == front.object
        and request["method"] == front.method
        and (request["command"] == "signal") is front.is_signal
    )


# Our clients' own: a pickle of protocol 4 with short names, all of them new in the memo. This takes
# 1.2 µs, and _read_any() 5.
_OURS = (
    rb"\x80\x04\x95.{8}\}\x94\("
    rb"(?:\x8c\x06req_id\x94C\x10(.{16})\x94)?"
    rb"(?:\x8c\x07timeout\x94G.{8})?"
    rb"\x8c\x07command\x94\x8c(?:\x04call|\x06(signal))\x94"
    rb"\x8c\x06object\x94\x8c(.)"
)


def _match_first(body: bytes) -> re.Match[bytes] | None:
    """Match, but compile the pattern before. Few servers have a policy."""
    global _match_ours
    _match_ours = re.compile(_OURS, re.DOTALL).match
    return _match_ours(body)


_match_ours: Callable[[bytes], re.Match[bytes] | None] = _match_first
_BETWEEN = b"\x94\x8c\x06method\x94\x8c"
_BEHIND = b"\x94\x8c\x04args\x94"


def _read_ours(body: bytes) -> Front | None:
    match = _match_ours(body)
    if match is None:
        return None
    req_id, signal, length = match.groups()
    begin = match.end()
    end = begin + length[0]
    method_begin = end + len(_BETWEEN) + 1
    if body[end : method_begin - 1] != _BETWEEN or method_begin > len(body):
        return None
    method_end = method_begin + body[method_begin - 1]
    if body[method_end : method_end + len(_BEHIND)] != _BEHIND:
        return None
    try:
        return Front(
            body[begin:end].decode(), body[method_begin:method_end].decode(), bool(signal), req_id
        )
    except UnicodeDecodeError:
        return None


def _read_any(body: bytes) -> Front | None:
    """Read the front opcode by opcode."""
    reader = _Reader(body)
    try:
        fields = reader.fields_before_arguments()
    except (IndexError, KeyError, ValueError):
        return None
    command, object_name, method = map(fields.get, ("command", "object", "method"))
    req_id = fields.get("req_id")
    if (
        command not in ("call", "signal")
        or not isinstance(object_name, str)
        or not isinstance(method, str)
    ):
        return None
    return Front(object_name, method, command == "signal", req_id if is_req_id(req_id) else None)


class _Reader:
    """Walks over the first opcodes of a pickle. Raises ``IndexError``, ``KeyError`` and
    ``ValueError`` for whatever it does not expect."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
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
