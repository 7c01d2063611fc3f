"""A pickle machine that makes only what its builder agrees to.

The C unpickler can be given a ``find_class``, but no say in what becomes of the result: a pickle
may set attributes of a class, call the same thing with other arguments, or put a tuple into a set
whose hash takes years. So pickles which are not evidently plain (:mod:`._plain`) come here, where
an opcode takes about 0.3 µs, and whatever it costs is paid beforehand (:mod:`._costs`). Old
protocols are read here, too; they need not be fast.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

from ._allowed import PLAIN, CalledOnly
from ._builder import Builder
from ._costs import Costs
from ._limits import DICT, ENTRY, LIST, MAX_MARKS, SET, SLOT, TUPLE

_MAX_LINE = 5000  # of a number; Python itself writes none that has more than 4,300 digits
_MAX_NAME = 1000  # characters of a module, or of a class in it
_STOP = ord(".")


class Machine:
    """Runs one pickle, which may take ``max_memory`` bytes."""

    def __init__(self, data: bytes, builder: Builder, max_memory: int) -> None:
        self._data = data
        self._position = 0
        self._builder = builder
        self.costs = Costs(len(data), max_memory)
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks below the marks
        self._memo: list[Any] = []
        self._functions = 0  # that were pushed and not called yet, of those that are called only

    def run(self) -> Any:
        """The object. ``UnpicklingError`` if anything is wrong, whatever it is."""
        data = self._data
        steps = _STEPS
        try:
            while (opcode := data[self._position]) != _STOP:
                self._position += 1
                steps[opcode](self)
            result = self._stack.pop()
        except pickle.UnpicklingError:
            raise
        except Exception as exc:
            # Truncated, nothing on the stack, wrong types, or an error of a registered class.
            raise pickle.UnpicklingError(
                f"broken pickle, at byte {self._position}: {_shown(exc)}"
            ) from exc
        if self._position + 1 != len(data):
            raise pickle.UnpicklingError("there is more after the end of the pickle")
        if self._functions:
            raise pickle.UnpicklingError("a function is no value")
        return result

    # Reading.

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._data):
            raise pickle.UnpicklingError("the pickle is truncated")
        data = self._data[self._position : end]
        self._position = end
        return data

    def _uint(self, length: int) -> int:
        return int.from_bytes(self._take(length), "little")

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise pickle.UnpicklingError("the pickle is truncated")
        line = self._data[self._position : end]
        self._position = end + 1
        return line

    def _number(self, suffix: bytes = b"") -> int:
        line = self._line().removesuffix(suffix)
        if len(line) > _MAX_LINE or not line.removeprefix(b"-").isdigit():
            raise pickle.UnpicklingError("a number of the pickle is broken or too long")
        return int(line)

    def pop_mark(self) -> list[Any]:
        """What lies above the last mark."""
        items = self._stack
        self._stack = self._below.pop()
        return items

    # One step each: what its opcode does.

    def refuse(self) -> None:
        """Extensions, persistent ids, buffers out of band, old-style classes, ``DUP``."""
        opcode = self._data[self._position - 1]
        raise pickle.UnpicklingError(f"opcode {opcode:#04x} at byte {self._position - 1}")

    def protocol(self) -> None:
        if (version := self._uint(1)) > pickle.HIGHEST_PROTOCOL:
            raise pickle.UnpicklingError(f"pickle protocol {version}")

    def mark(self) -> None:
        if len(self._below) == MAX_MARKS:
            raise pickle.UnpicklingError(f"more than {MAX_MARKS} marks are open")
        self._below.append(self._stack)
        self._stack = []

    def pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.pop_mark()

    def push(self, value: object) -> None:
        self._stack.append(value)

    def text_bool_or_int(self) -> None:
        line = self._data[self._position : self._position + 3]
        if line in (b"00\n", b"01\n"):
            self._position += 3
            self.push(line == b"01\n")
        else:
            self.push(self._number())

    def text_float(self) -> None:
        line = self._line()
        if len(line) > _MAX_LINE:
            raise pickle.UnpicklingError("a number of the pickle is too long")
        self.push(float(line))

    def make_container(self, container: object, size: int) -> None:
        self.costs.take(size)
        self._stack.append(container)

    def make_tuple(self, items: list[Any]) -> None:
        self.costs.take(TUPLE + SLOT * len(items))
        value = tuple(items)
        self.costs.hold(value, items)
        self._stack.append(value)

    def last_to_tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise pickle.UnpicklingError("the stack of the pickle is empty")
        items = self._stack[-count:]
        del self._stack[-count:]
        self.make_tuple(items)

    def make_list(self) -> None:
        items = self.pop_mark()
        self.make_container(items, LIST + SLOT * len(items))

    def make_frozenset(self) -> None:
        items = self.pop_mark()
        self.costs.take(SET)
        self.costs.fill(_FROZEN, items)
        value = frozenset(items)
        self.costs.hold(value, items)
        self._stack.append(value)

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.make_container({}, DICT)
        self.set_items(items)

    def append_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            self.costs.take(SLOT * len(items))
            target.extend(items)
        else:
            self._fill(target, "append", items)

    def set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        keys = items[::2]
        self.costs.fill(target, keys)
        if type(target) is dict:
            target.update(zip(keys, items[1::2], strict=True))
        else:
            self._fill(target, "set", items)

    def add_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        self.costs.fill(target, items)
        if type(target) is set:
            target.update(items)
        else:
            self._fill(target, "add", items)

    def _fill(self, target: object, opcode: str, items: list[Any]) -> None:
        self.costs.take(ENTRY * len(items))
        self.costs.grown(target, items)
        self._builder.fill(target, opcode, items)

    def put(self, index: int) -> None:
        memo = self._memo
        if index < len(memo):
            memo[index] = self._stack[-1]
            return
        if index > len(memo):
            # Python 2 counts from 1; nobody leaves out more.
            if index > len(memo) + 1:
                raise pickle.UnpicklingError(f"the memo has no place {index} yet")
            memo.append(_NOTHING)
        memo.append(self._stack[-1])

    def memoize(self) -> None:
        self._memo.append(self._stack[-1])

    def get(self, index: int) -> None:
        value = self._memo[index]
        if value is _NOTHING:
            raise pickle.UnpicklingError(f"the memo has nothing at {index}")
        self._functions += type(value) is CalledOnly
        self._stack.append(value)

    def find(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise pickle.UnpicklingError("the name of a class is no text")
        if len(module) > _MAX_NAME or len(name) > _MAX_NAME:
            raise pickle.UnpicklingError("the name of a class is too long")
        if not (module.isprintable() and name.isprintable()):
            raise pickle.UnpicklingError("the name of a class is not printable")
        found = self._builder.find(f"{module}.{name}")
        self._functions += type(found) is CalledOnly
        self._stack.append(found)

    def text_global(self) -> None:
        module, name = self._line(), self._line()
        self.find(module.decode(), name.decode())

    def stack_global(self) -> None:
        name = self._stack.pop()
        self.find(self._stack.pop(), name)

    def reduce(self) -> None:
        args = self._stack.pop()
        func = self._stack.pop()
        if not isinstance(args, tuple):
            raise pickle.UnpicklingError("arguments are not a tuple")
        self._functions -= type(func) is CalledOnly
        if type(func) in (type, CalledOnly) and func in PLAIN:
            items = args[0] if func in (set, frozenset) and args else ()
            self.costs.copies(args, content=True)
            if args and isinstance(args[0], (str, bytes)):
                self.costs.take(len(args[0]))
            if isinstance(items, list):
                self.costs.take(SET)
                self.costs.fill(_FROZEN, items)
            value = PLAIN[func](*args)
            if isinstance(value, frozenset):
                self.costs.hold(value, items)
        else:
            self.costs.calls(len(args))
            if not isinstance(func, type):
                self.costs.hashes(args)  # it may look them up
            elif issubclass(func, _HASHING):
                self.costs.filled_by_call(func, args)
            self.costs.copies((args, *args), content=True)
            value = self._builder.call(func, args)
            self.costs.made(value, args)
        self._stack.append(value)

    def new_object(self, *, has_kwargs: bool) -> None:
        kwargs = self._stack.pop() if has_kwargs else {}
        args = self._stack.pop()
        cls = self._stack.pop()
        if not isinstance(args, tuple) or type(kwargs) is not dict:
            raise pickle.UnpicklingError("arguments are not a tuple and a dict")
        parts = (*args, *kwargs.values())
        self.costs.calls(len(parts))
        if isinstance(cls, type) and issubclass(cls, _HASHING):
            self.costs.filled_by_call(cls, args)
        self.costs.copies((args, kwargs, *parts), content=True)
        value = self._builder.new(cls, args, kwargs)
        self.costs.made(value, parts)
        self._stack.append(value)

    def build(self) -> None:
        state = self._stack.pop()
        value = self._stack[-1]
        self.costs.calls(len(state) if isinstance(state, tuple) else 1)
        for part in state if isinstance(state, tuple) else (state,):
            parts = part.values() if isinstance(part, dict) else (part,)
            self.costs.copies((part,), content=True)
            self.costs.grown(value, parts)
        if isinstance(value, io.IOBase) and isinstance(state, tuple):
            # A BytesIO or StringIO holds a copy, with up to four bytes for a character.
            self.costs.take(sum(4 * len(part) for part in state if isinstance(part, (str, bytes))))
        self._builder.set_state(value, state)


_MAX_TEXT = 200  # characters of an error that a peer may have written
_SIMPLE = (type(None), bool, int, float, str, bytes)


def _shown(exc: Exception) -> str:
    """An error on one line. Lists that hold each other twice, and so on, are no text at all: it
    would have no end."""
    name = type(exc).__name__
    if not all(isinstance(arg, _SIMPLE) for arg in exc.args):
        return name
    text = str(exc)
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    return f"{name}: {text if text.isprintable() else ascii(text)}"


_FROZEN: frozenset[object] = frozenset()
"""Stands for one that is made: a set that is filled once."""

_HASHING = (set, frozenset, dict)

_NOTHING = object()

_Step = Callable[[Machine], object]


def _text(length_bytes: int) -> _Step:
    return lambda m: m.push(str(m._take(m._uint(length_bytes)), "utf-8", "surrogatepass"))


def _bytes(length_bytes: int) -> _Step:
    return lambda m: m.push(m._take(m._uint(length_bytes)))


def _long(length_bytes: int) -> _Step:
    return lambda m: m.push(int.from_bytes(m._take(m._uint(length_bytes)), "little", signed=True))


def _table() -> tuple[_Step, ...]:
    # The names in the comments are those of the standard module pickletools, which explains them.
    steps: dict[bytes, _Step] = {
        b"\x80": Machine.protocol,  # PROTO
        b"\x95": lambda m: m._take(8),  # FRAME: a hint for reading from files
        b"(": Machine.mark,
        b"0": Machine.pop,
        b"1": Machine.pop_mark,
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),  # NEWTRUE
        b"\x89": lambda m: m.push(False),  # NEWFALSE
        b"I": Machine.text_bool_or_int,
        b"L": lambda m: m.push(m._number(b"L")),
        b"K": lambda m: m.push(m._uint(1)),  # BININT1
        b"M": lambda m: m.push(m._uint(2)),  # BININT2
        b"J": lambda m: m.push(int.from_bytes(m._take(4), "little", signed=True)),  # BININT
        b"\x8a": _long(1),
        b"\x8b": _long(4),
        b"F": Machine.text_float,
        b"G": lambda m: m.push(struct.unpack(">d", m._take(8))[0]),  # BINFLOAT
        b"V": lambda m: m.push(str(m._line(), "raw-unicode-escape")),  # UNICODE
        b"\x8c": _text(1),
        b"X": _text(4),
        b"\x8d": _text(8),
        b"C": _bytes(1),
        b"B": _bytes(4),
        b"\x8e": _bytes(8),
        b"\x96": lambda m: m.push(bytearray(m._take(m._uint(8)))),  # BYTEARRAY8
        b")": lambda m: m.push(()),
        b"t": lambda m: m.make_tuple(m.pop_mark()),
        b"\x85": lambda m: m.last_to_tuple(1),
        b"\x86": lambda m: m.last_to_tuple(2),
        b"\x87": lambda m: m.last_to_tuple(3),
        b"]": lambda m: m.make_container([], LIST),
        b"l": Machine.make_list,
        b"a": lambda m: m.append_items([m._stack.pop()]),
        b"e": lambda m: m.append_items(m.pop_mark()),
        b"}": lambda m: m.make_container({}, DICT),
        b"d": Machine.make_dict,
        b"s": lambda m: m.set_items([m._stack.pop(-2), m._stack.pop()]),
        b"u": lambda m: m.set_items(m.pop_mark()),
        b"\x8f": lambda m: m.make_container(set(), SET),
        b"\x90": lambda m: m.add_items(m.pop_mark()),
        b"\x91": Machine.make_frozenset,
        b"p": lambda m: m.put(m._number()),
        b"q": lambda m: m.put(m._uint(1)),
        b"r": lambda m: m.put(m._uint(4)),
        b"\x94": Machine.memoize,
        b"g": lambda m: m.get(m._number()),
        b"h": lambda m: m.get(m._uint(1)),
        b"j": lambda m: m.get(m._uint(4)),
        b"c": Machine.text_global,
        b"\x93": Machine.stack_global,
        b"R": Machine.reduce,
        b"\x81": lambda m: m.new_object(has_kwargs=False),  # NEWOBJ
        b"\x92": lambda m: m.new_object(has_kwargs=True),  # NEWOBJ_EX
        b"b": Machine.build,
    }
    return tuple(steps.get(bytes([opcode]), Machine.refuse) for opcode in range(256))


_STEPS = _table()
