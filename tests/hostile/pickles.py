"""Pickles that do harm when they are loaded. Fragments of opcodes, without STOP.

Wherever code could run, a trap goes off: the file ``canary`` is made by ``os.system``, or
:data:`sprung` gets an entry.
"""

from __future__ import annotations

import copyreg
import pickle
import struct
from typing import Any

sprung: list[str] = []
"""The traps that went off."""


class Trap:
    """Whatever is done with it is noted."""

    def __new__(cls, *args: object, **kwargs: object) -> Trap:
        sprung.append("__new__")
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        sprung.append("__init__")

    def __setstate__(self, state: object) -> None:
        sprung.append("__setstate__")

    def __call__(self, *args: object) -> None:
        sprung.append("__call__")

    def __hash__(self) -> int:
        sprung.append("__hash__")
        return 0


def spring(*args: object, **kwargs: object) -> None:
    """A function, for pickles that call one."""
    sprung.append("spring")


EXTENSION = 0xF1
copyreg.add_extension(__name__, "spring", EXTENSION)


def plain(value: Any) -> bytes:
    """Plain data as a fragment."""
    return pickle.dumps(value, 2)[2:-1]


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


SPRING = named(__name__, "spring")
TRAP = named(__name__, "Trap")
FROM_THE_SHELL = "touch canary"


def calls() -> dict[str, bytes]:
    """Each way in which a pickle can run code; with an ordinary unpickler all of them do."""
    command = text(FROM_THE_SHELL)
    return {
        "REDUCE of os.system": named("os", "system") + command + b"\x85R",
        "REDUCE of posix.system": named("posix", "system") + command + b"\x85R",
        "STACK_GLOBAL of os.system": stack_global("os", "system") + command + b"\x85R",
        "REDUCE of eval": named("builtins", "eval")
        + text(f"__import__('os').system({FROM_THE_SHELL!r})")
        + b"\x85R",
        "INST": b"(" + command + b"ios\nsystem\n",
        "OBJ": b"(" + named("os", "system") + command + b"o",
        "REDUCE of a function": SPRING + b")R",
        "REDUCE of a class": TRAP + b")R",
        "INST of a class": b"(i" + TRAP[1:],
        "OBJ of a class": b"(" + TRAP + b"o",
        "NEWOBJ": TRAP + b")\x81",
        "NEWOBJ_EX": TRAP + b")}\x92",
        "BUILD": TRAP + b")\x81}b",
        "EXT1": b"\x82" + bytes([EXTENSION]) + b")R",
        "EXT2": b"\x83" + struct.pack("<H", EXTENSION) + b")R",
        "EXT4": b"\x84" + struct.pack("<i", EXTENSION) + b")R",
        "functools.partial": named("functools", "partial") + SPRING + b"\x85R)R",
    }


def names() -> dict[str, bytes]:
    """What must not be had, be it called or not."""
    return {
        "eval in Python 2": named("__builtin__", "eval") + text("1") + b"\x85R",
        "PERSID": b"Pos.system\n",
        "BINPERSID": text("os.system") + b"Q",
        "a class as data": TRAP,
        "a function as data": SPRING,
        "a module's attribute by dots": stack_global(
            "snakemq.exceptions", "SnakeMQException.__subclasses__"
        )
        + b")R",
        "the attribute of an exception": stack_global(
            "builtins", "ValueError.__init__.__globals__"
        ),
        "a module of an exception": stack_global("snakemq.rpc", "pickle.loads")
        + plain(b"N.")
        + b"\x85R",
        "getattr": named("builtins", "getattr") + plain(("", "upper")) + b"R",
        "type": named("builtins", "type") + plain(("T", (), {})) + b"R",
        "_codecs.encode of a slow codec": named("_codecs", "encode") + plain(("x", "idna")) + b"R",
        "_codecs.encode as data": named("_codecs", "encode"),
        "copyreg._reconstructor": named("copyreg", "_reconstructor")
        + named("builtins", "object") * 2
        + b"N\x87R",
        "operator.attrgetter": named("operator", "attrgetter") + text("__class__") + b"\x85R",
        "SystemExit": named("builtins", "SystemExit") + b")R",
        "KeyboardInterrupt": named("builtins", "KeyboardInterrupt") + b")R",
        "the attributes of a class": named("builtins", "ValueError")
        + plain((None, {"__init__": None}))
        + b"b",
        "the class of an exception": named("builtins", "ValueError")
        + b")R"
        + plain((None, {"__class__": 1}))
        + b"b",
        "BUILD with a trap as the state": named("builtins", "ValueError") + b")R" + TRAP + b"b",
    }


def doubled(opcode: bytes, depth: int) -> bytes:
    """x = (x, x), again and again: tiny to write, endless to walk through."""
    fragment = b")q\x00" if opcode == b"\x86" else b"]q\x00"
    for _ in range(depth):
        fragment += (
            b"h\x00h\x00" + opcode + b"q\x00" if opcode == b"\x86" else b"](h\x00h\x00eq\x00"
        )
    return fragment


def bombs() -> dict[str, bytes]:
    """Small pickles that take much memory or time."""
    size = 10**11
    return {
        "bytearray(10**11)": named("builtins", "bytearray") + plain((size,)) + b"R",
        "bytes(10**11)": named("builtins", "bytes") + plain((size,)) + b"R",
        "range(10**11) to list": named("builtins", "list")
        + named("builtins", "range")
        + plain((size,))
        + b"R\x85R",
        "complex of a text": named("builtins", "complex") + plain(("1" * 100_000,)) + b"R",
        "LONG_BINPUT far away": b"Nr" + struct.pack("<I", 0x7FFFFFFF),
        "PUT far away": b"Np" + b"9" * 20 + b"\n",
        "BINBYTES8 of a terabyte": b"\x8e" + struct.pack("<Q", 10**12),
        "BINUNICODE8 of a terabyte": b"\x8d" + struct.pack("<Q", 10**12),
        "BYTEARRAY8 of a terabyte": b"\x96" + struct.pack("<Q", 10**12),
        "BINBYTES of 4 GiB": b"B" + struct.pack("<I", 0xFFFFFFFF),
        "LONG4 of 2 GiB": b"\x8b" + struct.pack("<i", 0x7FFFFFFF),
        "LONG4 of a negative size": b"\x8b" + struct.pack("<i", -1),
        "INT of too many digits": b"I" + b"9" * 100_000 + b"\n",
        "LONG of too many digits": b"L" + b"9" * 100_000 + b"L\n",
        "lists in lists": b"]" * 50_000 + b"a" * 49_999,
        "tuples in tuples": b")" + b"\x85" * 100_000,
        "marks without end": b"(" * 100_000,
        "dicts in dicts": b"}" + b"N}" * 30_000 + b"s" * 30_000,
        "a key that takes ages to hash": b"}" + doubled(b"\x86", 60) + b"Ns",
        "a set of what takes ages to hash": b"\x8f(" + doubled(b"\x86", 60) + b"\x90",
        "a frozenset of what takes ages to hash": b"(" + doubled(b"\x86", 60) + b"\x91",
        "an exception of what takes ages to show": named("builtins", "ValueError")
        + doubled(b"\x86", 60)
        + b"\x85R",
        "FRAME of a terabyte": b"\x95" + struct.pack("<Q", 10**12) + b"N",
    }


def broken() -> dict[str, bytes]:
    """Bytes that are not a pickle. Whole, not fragments."""
    whole = pickle.dumps({"command": "call"}, 4)
    return {
        "nothing": b"",
        "STOP alone": b".",
        "text": b"hello",
        "no opcode": b"\xff\xff",
        "cut": whole[:-1],
        "cut in the middle": whole[: len(whole) // 2],
        "with a tail": whole + b"N.",
        "an unknown protocol": b"\x80\x63N.",
        "POP of nothing": b"0N.",
        "GET of nothing": b"h\x07.",
        "a MARK alone": b"(.",
        "APPEND to an int": b"K\x01K\x02a.",
        "SETITEM of a tuple": b")NNs.",
        "an unhashable key": b"}]Ns.",
        "zeros": bytes(1000),
    }
