"""What the opcodes of pickles do: to the stack, to the memo, and to what they make."""

from __future__ import annotations

import io
import pickle
from typing import Any

from ._allowed import PLAIN, CalledOnly
from ._builder import Builder
from ._costs import FROZEN, HASHING, Costs
from ._limits import DICT, ENTRY, LIST, MAX_MARKS, SET, SLOT, TUPLE

_MAX_LINE = 5000  # of a number; Python itself writes none that has more than 4,300 digits
_MAX_NAME = 1000  # characters of a module, or of a class in it


class Operations:
    """The stack of a pickle, which may take ``max_memory`` bytes, and what can be done to it.

    Each method without an underscore, but for those that read, is what an opcode does.
    """

    def __init__(self, data: bytes, builder: Builder, max_memory: int) -> None:
        self.data = data
        self.position = 0
        self._builder = builder
        self.costs = Costs(len(data), max_memory)
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks below the marks
        self._memo: list[Any] = []
        self.functions = 0  # that were pushed and not called yet, of those that are called only

    # Reading.

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            raise pickle.UnpicklingError("the pickle is truncated")
        data = self.data[self.position : end]
        self.position = end
        return data

    def uint(self, length: int) -> int:
        return int.from_bytes(self.take(length), "little")

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise pickle.UnpicklingError("the pickle is truncated")
        line = self.data[self.position : end]
        self.position = end + 1
        return line

    def number(self, suffix: bytes = b"") -> int:
        line = self.line().removesuffix(suffix)
        if len(line) > _MAX_LINE or not line.removeprefix(b"-").isdigit():
            raise pickle.UnpicklingError("a number of the pickle is broken or too long")
        return int(line)

    def pop_mark(self) -> list[Any]:
        """Take what lies above the last mark."""
        items = self.stack
        self.stack = self._below.pop()
        return items

    # One step each: what its opcode does.

    def refuse(self) -> None:
        """Extensions, persistent ids, buffers out of band, old-style classes, ``DUP``."""
        opcode = self.data[self.position - 1]
        raise pickle.UnpicklingError(f"opcode {opcode:#04x} at byte {self.position - 1}")

    def protocol(self) -> None:
        if (version := self.uint(1)) > pickle.HIGHEST_PROTOCOL:
            raise pickle.UnpicklingError(f"pickle protocol {version}")

    def mark(self) -> None:
        if len(self._below) == MAX_MARKS:
            raise pickle.UnpicklingError(f"more than {MAX_MARKS} marks are open")
        self._below.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def push(self, value: object) -> None:
        self.stack.append(value)

    def text_bool_or_int(self) -> None:
        line = self.data[self.position : self.position + 3]
        if line in (b"00\n", b"01\n"):
            self.position += 3
            self.push(line == b"01\n")
        else:
            self.push(self.number())

    def text_float(self) -> None:
        line = self.line()
        if len(line) > _MAX_LINE:
            raise pickle.UnpicklingError("a number of the pickle is too long")
        self.push(float(line))

    def make_container(self, container: object, size: int) -> None:
        self.costs.take(size)
        self.stack.append(container)

    def make_tuple(self, items: list[Any]) -> None:
        self.costs.take(TUPLE + SLOT * len(items))
        value = tuple(items)
        self.costs.hold(value, items)
        self.stack.append(value)

    def last_to_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise pickle.UnpicklingError("the stack of the pickle is empty")
        items = self.stack[-count:]
        del self.stack[-count:]
        self.make_tuple(items)

    def make_list(self) -> None:
        items = self.pop_mark()
        self.make_container(items, LIST + SLOT * len(items))

    def make_frozenset(self) -> None:
        items = self.pop_mark()
        self.costs.take(SET)
        self.costs.fill(FROZEN, items)
        value = frozenset(items)
        self.costs.hold(value, items)
        self.stack.append(value)

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.make_container({}, DICT)
        self.set_items(items)

    def append_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            self.costs.take(SLOT * len(items))
            target.extend(items)
        else:
            self._fill(target, "append", items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        keys = items[::2]
        self.costs.fill(target, keys)
        if type(target) is dict:
            target.update(zip(keys, items[1::2], strict=True))
        else:
            self._fill(target, "set", items)

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
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
            memo[index] = self.stack[-1]
            return
        if index > len(memo):
            # Python 2 counts from 1; nobody leaves out more.
            if index > len(memo) + 1:
                raise pickle.UnpicklingError(f"the memo has no place {index} yet")
            memo.append(_NOTHING)
        memo.append(self.stack[-1])

    def memoize(self) -> None:
        self._memo.append(self.stack[-1])

    def get(self, index: int) -> None:
        value = self._memo[index]
        if value is _NOTHING:
            raise pickle.UnpicklingError(f"the memo has nothing at {index}")
        self.functions += type(value) is CalledOnly
        self.stack.append(value)

    def find(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise pickle.UnpicklingError("the name of a class is not a text")
        if len(module) > _MAX_NAME or len(name) > _MAX_NAME:
            raise pickle.UnpicklingError("the name of a class is too long")
        if not (module.isprintable() and name.isprintable()):
            raise pickle.UnpicklingError("the name of a class is not printable")
        found = self._builder.find(f"{module}.{name}")
        self.functions += type(found) is CalledOnly
        self.stack.append(found)

    def text_global(self) -> None:
        module, name = self.line(), self.line()
        self.find(module.decode(), name.decode())

    def stack_global(self) -> None:
        name = self.stack.pop()
        self.find(self.stack.pop(), name)

    def reduce(self) -> None:
        args = self.stack.pop()
        func = self.stack.pop()
        if not isinstance(args, tuple):
            raise pickle.UnpicklingError("arguments are not a tuple")
        self.functions -= type(func) is CalledOnly
        if type(func) in (type, CalledOnly) and func in PLAIN:
            items = args[0] if func in (set, frozenset) and args else ()
            self.costs.copies(args, content=True)
            if args and isinstance(args[0], (str, bytes)):
                self.costs.take(len(args[0]))
            if isinstance(items, list):
                self.costs.take(SET)
                self.costs.fill(FROZEN, items)
            value = PLAIN[func](*args)
            if isinstance(value, frozenset):
                self.costs.hold(value, items)
        else:
            self.costs.calls(len(args))
            if not isinstance(func, type):
                self.costs.hashes(args)  # it may look them up
            elif issubclass(func, HASHING):
                self.costs.filled_by_call(func, args)
            self.costs.copies((args, *args), content=True)
            value = self._builder.call(func, args)
            self.costs.made(value, args)
        self.stack.append(value)

    def new_object(self, *, has_kwargs: bool) -> None:
        kwargs = self.stack.pop() if has_kwargs else {}
        args = self.stack.pop()
        cls = self.stack.pop()
        if not isinstance(args, tuple) or type(kwargs) is not dict:
            raise pickle.UnpicklingError("arguments are not a tuple and a dict")
        parts = (*args, *kwargs.values())
        self.costs.calls(len(parts))
        if isinstance(cls, type) and issubclass(cls, HASHING):
            self.costs.filled_by_call(cls, args)
        self.costs.copies((args, kwargs, *parts), content=True)
        value = self._builder.new(cls, args, kwargs)
        self.costs.made(value, parts)
        self.stack.append(value)

    def build(self) -> None:
        state = self.stack.pop()
        value = self.stack[-1]
        self.costs.calls(len(state) if isinstance(state, tuple) else 1)
        for part in state if isinstance(state, tuple) else (state,):
            parts = part.values() if isinstance(part, dict) else (part,)
            self.costs.copies((part,), content=True)
            self.costs.grown(value, parts)
        if isinstance(value, io.IOBase) and isinstance(state, tuple):
            # A BytesIO or StringIO holds a copy, with up to four bytes for a character.
            self.costs.take(sum(4 * len(part) for part in state if isinstance(part, (str, bytes))))
        self._builder.set_state(value, state)


_NOTHING = object()
