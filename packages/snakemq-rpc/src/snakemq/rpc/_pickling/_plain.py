"""Is a pickle nothing but plain data in the modern opcodes? Then the C unpickler may have it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ._limits import DICT, ENTRY, LIST, MAX_DEPTH, MAX_MARKS, SET, SLOT, TABLE, TUPLE, too_large

SHORT = 500
"""Bytes. In less, nothing is nested deeper than ``MAX_DEPTH``, and nothing is expensive."""

_MAX_NUMBERS = 1000
"""Keys that are neither text nor bytes. Everybody knows the hashes of numbers, so that they can be
chosen to meet in a table: n keys take up to n² steps, and here a million of 1 ns each."""

_MAX_TOUGH = 64
"""Keys that are long and can have equal hashes. Each may be compared with all others, which costs
up to this many times as much as hashing all of them once."""

_FREE_TEXT = 1 << 20
_TEXT_PER_BYTE = 64
"""Bytes of text that may be named again: as keys they may all be compared, 10 bytes in 1 ns."""

# What an opcode does. A positive number: it pushes a simple value, and takes this many bytes.
_OTHER = 0
_MEMOIZE, _TEXT_1, _GET_1, _MARK, _TO_MARK, _EMPTY, _TUPLE_N = range(-7, 0)
_GET_4, _APPEND, _SETITEM, _LONG, _TEXT, _FRAME = range(-13, -7)


def _table() -> tuple[int, ...]:
    table = [_OTHER] * 256
    for opcodes, argument in (
        (b")N\x88\x89", 1),  # EMPTY_TUPLE, NONE, NEWTRUE, NEWFALSE
        (b"K", 2),  # BININT1
        (b"M", 3),  # BININT2
        (b"J", 5),  # BININT
        (b"G", 9),  # BINFLOAT
        (b"\x8cC", _TEXT_1),  # SHORT_BINUNICODE, SHORT_BINBYTES
        (b"XB\x8d\x8e\x96", _TEXT),  # BINUNICODE, BINBYTES, those with 8 bytes, BYTEARRAY8
        (b"\x8a", _LONG),  # LONG1
        (b"\x94", _MEMOIZE),
        (b"h", _GET_1),  # BINGET
        (b"j", _GET_4),  # LONG_BINGET
        (b"]}\x8f", _EMPTY),  # EMPTY_LIST, EMPTY_DICT, EMPTY_SET
        (b"\x85\x86\x87", _TUPLE_N),  # TUPLE1, TUPLE2, TUPLE3
        (b"(", _MARK),
        (b"teu\x90\x91", _TO_MARK),  # TUPLE, APPENDS, SETITEMS, ADDITEMS, FROZENSET
        (b"a", _APPEND),
        (b"s", _SETITEM),
        (b"\x95", _FRAME),
    ):
        for opcode in opcodes:
            table[opcode] = argument
    return tuple(table)


_TABLE = _table()
_STOP = ord(".")
_MEMOIZE_BYTE = 0x94
_TUPLE_0 = 0x84
_APPENDS, _SETITEMS, _ADDITEMS, _FROZENSET = b"eu\x90\x91"
_KEYS_TO_MARK = (_SETITEMS, _ADDITEMS)
_MADE = {ord("]"): LIST, ord("}"): DICT, 0x8F: SET}


def _counted(opcode: bytes, lengths: Iterable[int]) -> bytes:
    """A pattern of an opcode, a byte with a length, and as many bytes. What is frequent first."""
    choices = (re.escape(bytes([length])) + b".{%d}" % length for length in lengths)
    return re.escape(opcode) + b"(?:" + b"|".join(choices) + b")"


_LENGTHS_OF_NAMES = sorted(range(40), key=lambda length: (not 2 < length < 9, length))


def _match_first(data: bytes) -> re.Match[bytes] | None:
    """Match, but compile the pattern before: 1.3 ms, which an import need not take."""
    global _match
    # The opcodes of walk(), but for those which short messages have no use for, and those which
    # name an object again: without them nothing is shared. Each byte allows one way to go on, so
    # there is nothing to go back to, and nothing that needs a possessive group: Python 3.11 before
    # 3.11.4 loses its place in those.
    _match = re.compile(
        rb"(?s:\x80[\x04\x05](?:\x95.{8})?(?:"
        + b"|".join(
            (
                _counted(b"\x8c", _LENGTHS_OF_NAMES) + rb"\x94",
                rb"[\x94)\]}\x8fN\x88\x89aesu\x90\x85\x86\x87t\x91(]",
                rb"K.",
                _counted(b"C", (16, *range(16), *range(17, 40))),
                rb"M.{2}",
                rb"J.{4}",
                rb"G.{8}",
                _counted(b"\x8a", range(5, 10)),
            )
        )
        + rb")*\.)"
    ).fullmatch
    return _match(data)


_match: Callable[[bytes], re.Match[bytes] | None] = _match_first


def is_plain(data: bytes, max_memory: int) -> int:
    """May ``pickle.loads`` have this data, whoever wrote it?

    Returns the bytes that its containers will take, at least 1, or 0 for no. Whatever is doubtful
    is not wrong: the careful :mod:`._machine` decides. What would surely take more than
    ``max_memory`` bytes raises ``UnpicklingError``.

    For a request with two numbers, which has 33 opcodes, the regular expression takes 1.0 µs, the
    walk 4.5 µs, and ``pickle.loads`` 1.1 µs (CPython 3.11, 2.6 GHz EPYC).
    """
    if len(data) <= SHORT and _match(data) is not None:
        return 1
    return walk(data, max_memory)


def walk(data: bytes, max_memory: int) -> int:
    """Answers :func:`is_plain` opcode by opcode, with a number for each value on the stack.

    Not 0 only if there are no other opcodes than those which protocols 4 and 5 use for None, bool,
    int, float, str, bytes, bytearray, list, tuple, dict, set and frozenset; if no length goes
    beyond the end of the data; and if the cost follows from the length:

    - no tuple, frozenset or long number is ever named again, so all of them are hashed once;
    - only a few keys can be equal in their hashes, or chosen to meet in a table;
    - text that is named again, and may have to be compared, is measured;
    - so is the memory of containers.

    A list of 1,000 small numbers takes 90 µs here, while ``pickle.loads`` takes 20 µs for it.
    """
    table = _TABLE
    # 0 is a number or a list, dict or set. A negative number is text or bytes, whose length is its
    # complement. A positive one is a tuple or frozenset, nested so deeply, or a long number.
    stack: list[int] = []
    push = stack.append
    memo: list[int] = []
    marks: list[int] = []
    named = made = numbers = tough = 0
    position = 2
    last = len(data) - 1
    if not data.startswith((b"\x80\x04", b"\x80\x05")):
        return 0
    try:
        while position < last:
            opcode = data[position]
            argument = table[opcode]
            if argument > 0:
                push(0)
                position += argument
                continue
            if argument == _TEXT_1:
                length = data[position + 1]
                push(~length)
                position += length + 2
                if data[position] == _MEMOIZE_BYTE:
                    memo.append(~length)
                    position += 1
                continue
            position += 1
            if argument == _MEMOIZE:
                memo.append(stack[-1])
                continue
            if argument == _GET_1:
                value = memo[data[position]]
                if value > 0:
                    return 0
                named -= value
                push(value)
                position += 1
                continue
            if argument == _MARK:
                marks.append(len(stack))
                if len(marks) > MAX_MARKS:
                    return 0
                continue
            keys: Sequence[int] = ()
            if argument == _TO_MARK:
                mark = marks.pop()
                items = stack[mark:]
                del stack[mark:]
                made += SLOT * len(items)
                if opcode in _KEYS_TO_MARK:
                    keys = items[::2] if opcode == _SETITEMS else items
                    made += TABLE + ENTRY * len(keys)
                elif opcode != _APPENDS:
                    depth = max(0, 0, *items) + 1
                    if depth > MAX_DEPTH:
                        return 0
                    push(depth)
                    made += TUPLE
                    if opcode == _FROZENSET:
                        keys = items
                        made += SET + ENTRY * len(keys)
            elif argument == _EMPTY:
                push(0)
                made += _MADE[opcode]
            elif argument == _TUPLE_N:
                count = opcode - _TUPLE_0
                depth = max(0, 0, *stack[-count:]) + 1
                del stack[-count:]
                if depth > MAX_DEPTH:
                    return 0
                push(depth)
                made += TUPLE + SLOT * count
            elif argument == _APPEND:
                del stack[-1]
                made += ENTRY
            elif argument == _SETITEM:
                keys = stack[-2:-1]
                del stack[-2:]
                made += TABLE + ENTRY
            elif argument == _GET_4:
                value = memo[int.from_bytes(data[position : position + 4], "little")]
                if value > 0:
                    return 0
                named -= value
                push(value)
                position += 4
            elif argument == _LONG:
                length = data[position]
                push(int(length > 8))
                position += length + 1
            elif argument == _TEXT:
                end = position + (4 if opcode in b"XB" else 8)
                length = int.from_bytes(data[position:end], "little")
                push(~length)
                position = end + length
            elif argument == _FRAME:
                position += 8
            else:
                return 0
            if made > max_memory:
                raise too_large(max_memory)
            if keys and max(keys) >= 0:
                numbers += sum(key == 0 for key in keys)
                tough += sum(key > 0 for key in keys)
                if numbers > _MAX_NUMBERS or tough > _MAX_TOUGH:
                    return 0
    except IndexError:
        return 0
    if (
        position == last
        and data[last] == _STOP
        and named <= _FREE_TEXT + _TEXT_PER_BYTE * len(data)
    ):
        return made + 1
    return 0
