"""A pickle machine that makes only what its builder agrees to.

The C unpickler lets us choose what ``find_class`` returns, but not what happens to it: a pickle may
set attributes of a class, call it with other arguments, or put a tuple into a set whose hash takes
years. So pickles that are not evidently plain (:mod:`._plain`) come here, where an opcode takes
about 0.3 µs, and a pickle pays for each cost beforehand (:mod:`._costs`). This also reads the old
protocols, which need not be fast.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any

from ._allowed import SIMPLE
from ._limits import DICT, LIST, SET
from ._operations import Operations

_STOP = ord(".")


class Machine(Operations):
    """Runs one pickle, whose objects may take ``max_memory`` bytes."""

    def run(self) -> Any:
        """Return the object. Raises ``UnpicklingError`` if anything at all is wrong."""
        data = self.data
        steps = _STEPS
        try:
            while (opcode := data[self.position]) != _STOP:
                self.position += 1
                steps[opcode](self)
            result = self.stack.pop()
        except pickle.UnpicklingError:
            raise
        except Exception as exc:
            # Truncated, nothing on the stack, wrong types, or an error of a registered class.
            raise pickle.UnpicklingError(
                f"broken pickle, at byte {self.position}: {_shown(exc)}"
            ) from exc
        if self.position + 1 != len(data):
            raise pickle.UnpicklingError("there is more after the end of the pickle")
        if self.functions:
            raise pickle.UnpicklingError("a function is not a value")
        return result


_MAX_TEXT = 200  # characters of an error that a peer may have written


def _shown(exc: Exception) -> str:
    """Describe an error on one line. Arguments that are not simple are left out: the text of lists
    that hold each other twice, and so on, would have no end."""
    name = type(exc).__name__
    if not all(isinstance(arg, SIMPLE) for arg in exc.args):
        return name
    text = str(exc)
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    return f"{name}: {text if text.isprintable() else ascii(text)}"


_Step = Callable[[Operations], object]


def _text(length_bytes: int) -> _Step:
    return lambda m: m.push(str(m.take(m.uint(length_bytes)), "utf-8", "surrogatepass"))


def _bytes(length_bytes: int) -> _Step:
    return lambda m: m.push(m.take(m.uint(length_bytes)))


def _long(length_bytes: int) -> _Step:
    return lambda m: m.push(int.from_bytes(m.take(m.uint(length_bytes)), "little", signed=True))


def _table() -> tuple[_Step, ...]:
    # The names in the comments are those of the standard module pickletools, which explains them.
    steps: dict[bytes, _Step] = {
        b"\x80": Operations.protocol,  # PROTO
        b"\x95": lambda m: m.take(8),  # FRAME: a hint for reading from files
        b"(": Operations.mark,
        b"0": Operations.pop,
        b"1": Operations.pop_mark,
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),  # NEWTRUE
        b"\x89": lambda m: m.push(False),  # NEWFALSE
        b"I": Operations.text_bool_or_int,
        b"L": lambda m: m.push(m.number(b"L")),
        b"K": lambda m: m.push(m.uint(1)),  # BININT1
        b"M": lambda m: m.push(m.uint(2)),  # BININT2
        b"J": lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),  # BININT
        b"\x8a": _long(1),
        b"\x8b": _long(4),
        b"F": Operations.text_float,
        b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),  # BINFLOAT
        b"V": lambda m: m.push(str(m.line(), "raw-unicode-escape")),  # UNICODE
        b"\x8c": _text(1),
        b"X": _text(4),
        b"\x8d": _text(8),
        b"C": _bytes(1),
        b"B": _bytes(4),
        b"\x8e": _bytes(8),
        b"\x96": lambda m: m.push(bytearray(m.take(m.uint(8)))),  # BYTEARRAY8
        b")": lambda m: m.push(()),
        b"t": lambda m: m.make_tuple(m.pop_mark()),
        b"\x85": lambda m: m.last_to_tuple(1),
        b"\x86": lambda m: m.last_to_tuple(2),
        b"\x87": lambda m: m.last_to_tuple(3),
        b"]": lambda m: m.make_container([], LIST),
        b"l": Operations.make_list,
        b"a": lambda m: m.append_items([m.stack.pop()]),
        b"e": lambda m: m.append_items(m.pop_mark()),
        b"}": lambda m: m.make_container({}, DICT),
        b"d": Operations.make_dict,
        b"s": lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
        b"u": lambda m: m.set_items(m.pop_mark()),
        b"\x8f": lambda m: m.make_container(set(), SET),
        b"\x90": lambda m: m.add_items(m.pop_mark()),
        b"\x91": Operations.make_frozenset,
        b"p": lambda m: m.put(m.number()),
        b"q": lambda m: m.put(m.uint(1)),
        b"r": lambda m: m.put(m.uint(4)),
        b"\x94": Operations.memoize,
        b"g": lambda m: m.get(m.number()),
        b"h": lambda m: m.get(m.uint(1)),
        b"j": lambda m: m.get(m.uint(4)),
        b"c": Operations.text_global,
        b"\x93": Operations.stack_global,
        b"R": Operations.reduce,
        b"\x81": lambda m: m.new_object(has_kwargs=False),  # NEWOBJ
        b"\x92": lambda m: m.new_object(has_kwargs=True),  # NEWOBJ_EX
        b"b": Operations.build,
    }
    return tuple(steps.get(bytes([opcode]), Operations.refuse) for opcode in range(256))


_STEPS = _table()
