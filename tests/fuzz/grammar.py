"""Random pickles: programs for the stack of an unpickler that mostly make sense, and mutations."""

from __future__ import annotations

import random
import struct

MODULUS = 2**61 - 1
NAMES = (
    ("builtins", "ValueError"),
    ("builtins", "ImportError"),
    ("builtins", "OSError"),
    ("builtins", "ExceptionGroup"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "getattr"),
    ("_codecs", "encode"),
    ("tests.fuzz.registered", "Key"),
    ("tests.fuzz.registered", "Row"),
    ("tests.fuzz.registered", "Color"),
    ("collections", "deque"),
    ("os", "system"),
)
WORDS = ("args", "name", "part", "latin1", "x", "__class__", "__dict__", "RED")


class Program:
    """Writes one pickle; ``depth`` is that of the stack above each open mark."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.out = bytearray(b"\x80" + bytes([rng.choice((2, 4, 4, 4, 5))]))
        self.depth = [0]
        self.memo = 0

    def emit(self, data: bytes, pops: int = 0, pushes: int = 0) -> None:
        if self.rng.random() < 0.03:
            self.out += b"\x95" + struct.pack("<Q", self.rng.choice((0, 0, 1, 9, 2**40)))
        self.out += data
        self.depth[-1] = max(0, self.depth[-1] - pops) + pushes

    def value(self) -> None:
        rng = self.rng
        number = rng.choice((-1, -2, rng.getrandbits(31), rng.randrange(9)))
        word = rng.choice(WORDS).encode()
        long = (rng.randrange(-50, 50) * MODULUS).to_bytes(10, "little", signed=True)
        choices = (
            b"N",
            b"\x88",
            b"K" + bytes([rng.randrange(256)]),
            b"J" + struct.pack("<i", number),
            b"\x8a\x0a" + long,
            b"G" + struct.pack(">d", rng.choice((0.5, -1.0, float(number)))),
            b"\x8c" + bytes([len(word)]) + word,
            b"C\x02ab",
            b"\x96" + struct.pack("<Q", 3) + b"abc",
            b")",
            b"]",
            b"}",
            b"\x8f",
        )
        self.emit(rng.choice(choices), pushes=1)

    def get(self) -> None:
        if self.memo:
            index = max(0, self.memo - 1 - int(self.rng.expovariate(0.5)))
            short = b"h" + bytes([index]) if index < 256 else b""
            self.emit(short or b"j" + struct.pack("<I", index), pushes=1)

    def remember(self) -> None:
        if self.depth[-1]:
            self.emit(b"\x94")
            self.memo += 1

    def gather(self) -> None:
        if len(self.depth) > 1:
            self.depth.pop()
            opcode = self.rng.choice(b"tteu\x90\x91ld1")
            self.emit(bytes([opcode]), pushes=opcode in b"t\x91ld")

    def named(self) -> None:
        module, name = self.rng.choice(NAMES)
        self.emit(f"c{module}\n{name}\n".encode(), pushes=1)
        count = self.rng.randrange(4)
        for _ in range(count):
            self.rng.choice((self.value, self.get))()
        arguments = (b")", b"\x85", b"\x86", b"\x87")[count]
        self.emit(arguments + self.rng.choice((b"R", b"R", b"\x81")), pops=count)

    def double(self) -> None:
        """Make levels that each hold the last one twice: 2**n leaves."""
        for _ in range(self.rng.randrange(1, 30)):
            self.remember()
            if self.memo:
                twice = (b"j" + struct.pack("<I", self.memo - 1)) * 2
                between = self.rng.choice((b"", b"", b"(u", b"(e", b"N0"))
                self.emit(twice + b"\x86" + between, pushes=1)

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.3:
            self.value()
        elif choice < 0.42:
            self.get()
        elif choice < 0.55:
            self.remember()
        elif choice < 0.63:
            count = self.rng.choice((1, 2, 2, 3))
            if self.depth[-1] >= count:
                self.emit(b"\x85\x86\x87"[count - 1 : count], pops=count, pushes=1)
        elif choice < 0.72:
            self.emit(b"(")
            self.depth.append(0)
        elif choice < 0.82:
            self.gather()
        elif choice < 0.87:
            self.emit(self.rng.choice((b"a", b"0", b"b")), pops=1)
        elif choice < 0.91:
            self.emit(b"s", pops=2)
        elif choice < 0.96:
            self.named()
        elif choice < 0.98:
            self.double()
        else:
            # Keys, some of which are equal in their hashes.
            self.emit(b"}(" + b"", pushes=1)
            for _ in range(self.rng.randrange(100)):
                self.value()
                self.emit(b"N", pushes=1)
            self.emit(b"u", pops=200)


def random_pickle(rng: random.Random) -> bytes:
    program = Program(rng)
    for _ in range(rng.randrange(1, 80)):
        program.step()
    data = program.out + b"."
    while rng.random() < 0.25 and len(data) > 2:
        position = rng.randrange(1, len(data))
        data[position : position + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(data)
