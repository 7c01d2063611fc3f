"""Pickles from an attacker: refused, nothing executed, time and memory in proportion."""

from __future__ import annotations

import contextlib
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snakemq.rpc import Error, SafePickler, UnregisteredClass
from snakemq.rpc._pickling import _plain
from snakemq.rpc._pickling._limits import FREE_MEMORY, MAX_DEPTH
from snakemq.rpc._pickling._pickler import loads_inert
from snakemq.rpc._pickling._plain import walk

executed: list[object] = []


class Canary:
    """Sings when anything of it is executed."""

    def __init__(self, *args: object) -> None:
        executed.append(args)

    def __reduce__(self) -> tuple[Any, ...]:
        return sing, ("reduced",)

    def __setstate__(self, state: object) -> None:
        executed.append(state)

    @staticmethod
    def method(*args: object) -> None:
        executed.append(args)


class Kept:
    """Registered by the user, and so the only thing here that may be made."""

    constant = "untouched"

    def __init__(self, *args: object) -> None:
        self.args = args


class KeptCallable(Kept):
    def __call__(self, *args: object) -> None:
        executed.append(args)


def sing(*args: object) -> str:
    executed.append(args)
    return "sung"


@pytest.fixture(autouse=True)
def nothing_is_executed() -> Any:
    executed.clear()
    yield
    assert executed == []


def pickler() -> SafePickler:
    pickler = SafePickler()
    pickler.register(Kept)
    pickler.register(KeptCallable)
    return pickler


def refused(data: bytes) -> pickle.UnpicklingError:
    with pytest.raises(pickle.UnpicklingError) as caught:
        pickler().loads(data)
    return caught.value


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def name(module: str, qualname: str) -> bytes:
    """STACK_GLOBAL"""
    return text(module) + text(qualname) + b"\x93"


HERE = __name__
KEPT = name(HERE, "Kept")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_canary_does_not_sing(protocol: int) -> None:
    data = pickle.dumps({"args": [Canary.__new__(Canary)]}, protocol)
    assert isinstance(refused(data), UnregisteredClass)
    loads_inert(data)
    pickle.loads(data)
    assert executed.pop() == ("reduced",)  # so it can


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "object"),
        ("builtins", "type"),
        ("builtins", "ValueError.__init__"),
        ("builtins", "ValueError.__class__"),
        ("builtins", "set.__class__"),
        ("builtins", "SystemExit"),
        ("builtins", "KeyboardInterrupt"),
        ("copyreg", "_reconstructor"),
        ("_codecs", "decode"),
        ("codecs", "encode"),
        ("snakemq.exceptions", "Exception"),
        ("snakemq.rpc", "SafePickler"),
        ("snakemq.rpc._errors", "pickle"),
        ("snakemq.rpc", "Error.__init__"),
        ("snakemq.rpc._errors", "Error"),
        (HERE, "Canary.method"),
        (HERE, "Kept.__init__"),
        (HERE, "Kept.__init__.__globals__"),
        (HERE, "sing"),
    ],
)
def test_names_are_looked_up_and_never_followed(module: str, qualname: str) -> None:
    for data in (
        name(module, qualname) + b")R.",
        b"c" + f"{module}\n{qualname}\n".encode() + b")R.",
    ):
        error = refused(b"\x80\x04" + data)
        assert isinstance(error, UnregisteredClass)
        assert error.type_name == f"{module}.{qualname}"
        assert isinstance(error, Error)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(pickle.dumps((10**11,), 0)[:-1], id="a number of bytes to allocate"),
        pytest.param(b"\x8c\x02ab\x8c\x05utf16\x86", id="another codec"),
        pytest.param(b"(K\x01K\x02K\x03t", id="numbers"),
        pytest.param(b"]K\x01a\x85", id="a list"),
        pytest.param(b"K\x05", id="no tuple"),
    ],
)
@pytest.mark.parametrize(
    "callable_name",
    [
        ("builtins", "bytearray"),
        ("builtins", "bytes"),
        ("builtins", "complex"),
        ("_codecs", "encode"),
    ],
    ids=lambda parts: parts[1],
)
def test_plain_constructors_take_what_picklers_write_only(
    callable_name: tuple[str, str], arguments: bytes
) -> None:
    refused(b"\x80\x04" + name(*callable_name) + arguments + b"R.")


@pytest.mark.parametrize("cls", ["set", "frozenset"])
def test_sets_are_made_of_lists_only(cls: str) -> None:
    refused(b"\x80\x04" + name("builtins", cls) + b"\x8c\x03abc\x85R.")
    refused(b"\x80\x04" + name("builtins", cls) + b"]]\x86R.")


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(b".", id="as the result"),
        pytest.param(b"\x85.", id="in a tuple"),
        pytest.param(b"0N.", id="dropped"),
        pytest.param(b"\x94]h\x00a.", id="from the memo"),
        pytest.param(b"}b.", id="with a state"),
        pytest.param(b")\x81.", id="as a class"),
    ],
)
def test_no_function_ever_becomes_a_value(use: bytes) -> None:
    refused(b"\x80\x04" + name("_codecs", "encode") + use)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(KEPT, id="a registered class"),
        pytest.param(name("snakemq.rpc", "Error"), id="an exception class"),
        pytest.param(name("builtins", "set"), id="a builtin class"),
        pytest.param(b"]", id="a list"),
        pytest.param(b"N", id="None"),
    ],
)
@pytest.mark.parametrize(
    "state",
    [
        pytest.param(text("constant") + b"K\x01", id="dict"),
        pytest.param(text("__init__") + b"K\x01", id="init"),
    ],
)
@pytest.mark.parametrize("slots", [False, True])
def test_state_is_for_objects_that_were_made_here(target: bytes, state: bytes, slots: bool) -> None:
    built = b"N}" + state + b"s\x86" if slots else b"}" + state + b"s"
    refused(b"\x80\x04" + target + built + b"b.")
    assert Kept.constant == "untouched"
    assert not hasattr(Error, "constant")
    assert callable(Kept.__init__)


def test_the_members_of_an_enumeration_do_not_change() -> None:
    import enum

    class Color(enum.Enum):
        RED = 1

    pickler = SafePickler()
    pickler.register(Color)
    color = name(Color.__module__, Color.__qualname__) + b"K\x01\x85R"
    assert pickler.loads(b"\x80\x04" + color + b".") is Color.RED
    with pytest.raises(pickle.UnpicklingError, match="no state"):
        pickler.loads(b"\x80\x04" + color + b"}" + text("_value_") + b"K\x02sb.")
    assert Color.RED.value == 1


@pytest.mark.parametrize("attribute", ["__class__", "__traceback__", "__cause__", "__dict__"])
def test_special_attributes_mean_nothing(attribute: str) -> None:
    state = b"}" + text(attribute) + KEPT + b"s"
    kept = pickler().loads(b"\x80\x04" + KEPT + b")\x81" + state + b"b.")
    assert type(kept) is Kept
    assert kept.__class__ is Kept
    error = pickler().loads(b"\x80\x04" + name("builtins", "ValueError") + b")R" + state + b"b.")
    assert type(error) is ValueError
    assert error.__class__ is ValueError
    assert error.__cause__ is error.__traceback__ is None
    for target in (KEPT + b")\x81", name("builtins", "ValueError") + b")R"):
        refused(b"\x80\x04" + target + b"N" + state + b"\x86b.")


def test_only_what_was_registered_is_constructed() -> None:
    assert pickler().loads(b"\x80\x04" + KEPT + b"K\x01\x85R.").args == (1,)
    refused(b"\x80\x04K\x01)R.")
    refused(b"\x80\x04" + KEPT + b")R)R.")
    refused(b"\x80\x04" + name(HERE, "KeptCallable") + b")R)R.")  # an object is not called
    refused(b"\x80\x04" + KEPT + b")RN\x81.")
    refused(b"\x80\x04" + name("builtins", "ValueError") + b")\x81.")
    refused(b"\x80\x04" + name("builtins", "set") + b")\x81.")
    refused(b"\x80\x04" + KEPT + b"N}\x92.")


def test_objects_are_not_filled_unless_they_are_registered() -> None:
    for fill in (b"K\x01a.", b"(K\x01e.", b"K\x01K\x01s.", b"(K\x01\x90."):
        for target in (name("builtins", "ValueError") + b")R", b")", b"\x8c\x01x", b"C\x01x"):
            refused(b"\x80\x04" + target + fill)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x82\x01.", id="EXT1"),
        pytest.param(b"\x83\x01\x00.", id="EXT2"),
        pytest.param(b"\x84\x01\x00\x00\x00.", id="EXT4"),
        pytest.param(b"Pid\n.", id="PERSID"),
        pytest.param(b"\x8c\x02idQ.", id="BINPERSID"),
        pytest.param(b"(ios\nsystem\n.", id="INST"),
        pytest.param(b"(" + KEPT + b"o.", id="OBJ"),
        pytest.param(b"\x97.", id="NEXT_BUFFER"),
        pytest.param(b"C\x01x\x98.", id="READONLY_BUFFER"),
        pytest.param(b"N2\x86.", id="DUP"),
        pytest.param(b"S'x'\n.", id="STRING"),
        pytest.param(b"U\x01x.", id="SHORT_BINSTRING"),
        pytest.param(b"\xff.", id="unknown"),
    ],
)
def test_opcodes_that_are_not_needed_are_refused(data: bytes) -> None:
    for head in (b"", b"\x80\x04"):
        assert "opcode" in str(refused(head + data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x04.",
        b"N",
        b"N..",
        b"N.more",
        b"\x80\x04N.more",
        b"\x80\x06N.",
        b"\x80",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
        b"\x80\x04t.",
        b"\x80\x04e.",
        b"\x80\x04\x85.",
        b"\x80\x04h\x05.",
        b"g\n.",
        b"g-1\n.",
        b"p0\n.",
        b"I1_0\n.",
        b"Ix\n.",
        b"I1",
        b"F1",
        b"Fx\n.",
        b"V\\ud8\n.",
        b"\x80\x04\x8c\x01\xff.",
        b"\x80\x04}]Ns.",  # an unhashable key
        b"\x80\x04\x8f(]\x90.",
        b"\x80\x04](e\x94.",
        b"L" + b"9" * 6000 + b"L\n.",
        b"F" + b"9" * 6000 + b"\n.",
        b"\x80\x04" + b"(" * 100 + b".",
        b"\x80\x04K\x01K\x02\x93.",
        b"\x80\x04}(K\x01u.",  # a key without a value
        b"}(K\x01u.",
    ],
)
def test_broken_pickles_are_refused(data: bytes) -> None:
    if data == b"\x80\x04](e\x94.":  # an empty APPENDS breaks nothing
        assert pickler().loads(data) == []
    else:
        refused(data)


@pytest.mark.parametrize(
    "opcode", [b"X", b"B", b"T", b"\x8b", b"\x8d", b"\x8e", b"\x96"], ids=lambda op: op.hex()
)
def test_promised_lengths_allocate_nothing(opcode: bytes) -> None:
    for length in (b"\xff\xff\xff\x7f", b"\xff" * 4, b"\xff\xff\xff\xff\x00\x00\x00\x00"):
        for head in (b"", b"\x80\x04"):
            assert peak_of(lambda data: refused(data), head + opcode + length + b"x.") < 100_000


@pytest.mark.parametrize(
    "put", [b"r\xff\xff\xff\x7f", b"p2000000000\n", b"p" + b"9" * 4000 + b"\n"]
)
def test_memo_indexes_allocate_nothing(put: bytes) -> None:
    for head in (b"", b"\x80\x04"):
        assert peak_of(refused, head + b"N" + put + b".") < 100_000


def peak_of(func: Callable[[bytes], object], data: bytes) -> int:
    """Bytes that were allocated at most."""
    tracemalloc.start()
    try:
        result = func(data)
        del result
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("opcode", [b"N", b"]", b"}", b")", b"(", b"\x8f", b"K\x01", b"]\x94"])
def test_memory_follows_the_length(opcode: bytes) -> None:
    data = b"\x80\x04(" + opcode * 20_000 + b"l."

    def load(data: bytes) -> None:
        with contextlib.suppress(pickle.UnpicklingError):
            pickler().loads(data)

    assert peak_of(load, data) < 400 * len(data)


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(name("builtins", "bytearray") + b"\x94B%s\x85\x94", id="bytearray"),
        pytest.param(name("builtins", "set") + b"\x94](%s(e\x85\x94", id="set"),
    ],
)
def test_one_object_is_not_copied_a_million_times(copy: bytes) -> None:
    big = 100_000
    if b"B%s" in copy:
        setup = copy.replace(b"%s", struct.pack("<I", big) + b"x" * big)
    else:
        setup = copy.replace(b"(%s(e", b"(" + b"N" * big + b"e")
    data = b"\x80\x04" + setup + b"0(" + b"h\x00h\x01R" * 10_000 + b"l."
    assert peak_of(refused, data) < 1.2 * FREE_MEMORY + 100 * len(data)


def test_one_state_is_not_set_ten_thousand_times() -> None:
    state = b"}(" + b"".join(text(f"name{number}") + b"N" for number in range(1000)) + b"u\x940"
    data = b"\x80\x04" + state + name("builtins", "ValueError") + b")R" + b"h\x00b" * 10_000 + b"."
    refused(data)


def nested_tuples(depth: int) -> bytes:
    return b"\x80\x04}" + b")" + b"\x85" * depth + b"Ns."


def test_a_key_may_be_a_tuple_in_a_tuple() -> None:
    assert pickler().loads(nested_tuples(MAX_DEPTH - 1))
    refused(nested_tuples(MAX_DEPTH + 1))
    refused(nested_tuples(1_000_000))


def test_deep_nesting_does_not_kill_the_process() -> None:
    """In a process of its own: it would take this one along."""
    script = """
import pickle
from snakemq.rpc import SafePickler
from snakemq.rpc._pickling._pickler import loads_inert
name = lambda m, n: b"\\x8c" + bytes([len(m)]) + m + b"\\x8c" + bytes([len(n)]) + n + b"\\x93"
imp = name(b"builtins", b"ImportError")
n = 200_000
attacks = [
    b"\\x80\\x04})" + b"\\x85" * n + b"Ns.",
    b"\\x80\\x04})" + b"\\x85\\x94" * n + b"Ns.",
    b"\\x80\\x04})" + b"N\\x86" * n + b"Ns.",
    b"\\x80\\x04}" + b"(" * n + b"t" * n + b"Ns.",
    b"\\x80\\x04" + b"]" * n + b"a" * (n - 1) + b".",
    b"\\x80\\x04" + b"}N" * n + b"N" + b"s" * n + b".",
    b"\\x80\\x04" + imp + b"\\x940" + b"h\\x00)R}\\x8c\\x04name" * n + b"N" + b"sb" * n + b".",
    b"(" * n + b"l" * n + b".",
    b"\\x80\\x04" + b"(" * n + b"\\x91" * n + b".",
]
for attack in attacks:
    for loads in (SafePickler().loads, loads_inert):
        try:
            loads(attack)
        except pickle.UnpicklingError:
            pass
print("alive")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "alive\n", (done.returncode, done.stderr)


def doubled(levels: int, make: bytes) -> bytes:
    """Each level holds the last one twice."""
    return b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + make for n in range(levels))


BOMBS = {
    "tuples, as a key": b"\x80\x04}N\x85\x94" + doubled(60, b"\x86\x94") + b"Ns.",
    "tuples, with the memo written in between": b"\x80\x04}N\x85\x95"
    + b"\x00" * 8
    + b"\x94"
    + doubled(60, b"\x86\x95" + b"\x00" * 8 + b"\x94")
    + b"Ns.",
    "tuples, uncovered by an empty APPENDS": b"\x80\x04}N\x85(e\x94"
    + doubled(60, b"\x86(e\x94")
    + b"Ns.",
    "tuples, with a second PROTO": b"\x80\x04}N\x85\x80\x04\x94"
    + doubled(60, b"\x86\x80\x04\x94")
    + b"Ns.",
    "tuples, in a frozenset": b"\x80\x04N\x85\x94" + doubled(60, b"\x86\x94") + b"(h<\x91.",
    "tuples, uncovered by POP": b"\x80\x04}N\x85N0\x94" + doubled(60, b"\x86N0\x94") + b"Ns.",
    "tuples, by PUT": b"}N\x85q\x00"
    + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
    + b"Ns.",
    "objects": b"\x80\x04"
    + name("builtins", "ValueError")
    + b"0}N\x85\x94"
    + doubled(60, b"\x86\x94")
    + b"Ns.",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_key_with_2_to_the_60_leaves_is_refused_at_once(bomb: bytes) -> None:
    assert not _plain.is_plain(bomb, FREE_MEMORY)
    refused(bomb)


def test_two_frozensets_that_take_years_to_compare_are_refused() -> None:
    def tower(first_memo: int) -> bytes:
        data = b"(\x91\x94"
        memo = first_memo
        for _ in range(40):
            get = b"h" + bytes([memo])
            data += b"(" + get + b"K\x01\x86" + get + b"K\x02\x86" + b"\x91\x94"
            memo += 1
        return data

    refused(b"\x80\x04\x8f(" + tower(0) + tower(41) + b"\x90.")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(b"(" + b"K\x01" * 30_000 + b"t", id="a long tuple"),
        pytest.param(b"\x8b" + struct.pack("<I", 500_000) + b"\x01" * 500_000, id="a huge number"),
    ],
)
def test_an_expensive_key_is_not_hashed_a_hundred_thousand_times(key: bytes) -> None:
    data = b"\x80\x04" + key + b"\x940}(" + b"h\x00N" * 100_000 + b"u."
    start = time.process_time()
    refused(data)
    assert time.process_time() - start < 5  # it would be a minute


def test_an_expensive_comparison_is_not_made_a_hundred_thousand_times() -> None:
    big = b"X" + struct.pack("<I", 1_000_000) + b"x" * 1_000_000 + b"\x94"
    data = b"\x80\x04](" + big + big + b"}h\x00Ns(" + b"h\x01N" * 100_000 + b"ue."
    assert not _plain.is_plain(data, FREE_MEMORY)
    refused(data)


def test_what_a_registered_class_raises_is_a_refusal() -> None:
    class Picky:
        def __init__(self) -> None:
            raise RuntimeError("not like this")

    pickler = SafePickler()
    pickler.register(Picky)
    with pytest.raises(pickle.UnpicklingError, match="not like this") as caught:
        pickler.loads(b"\x80\x04" + name(HERE, Picky.__qualname__) + b")R.")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_inert_pickles_make_nothing_at_all() -> None:
    data = pickle.dumps([Canary.__new__(Canary), {"req_id": b"1"}])
    assert loads_inert(data)[1] == {"req_id": b"1"}
    hostile = name(HERE, "Canary") + b")\x81}b" + name("os", "system") + b"\x8c\x02ls\x85R\x86."
    canary, result = loads_inert(b"\x80\x04" + hostile)
    assert canary.type_name == f"{HERE}.Canary"
    assert result.type_name == "os.system"
    assert result.args == ("ls",)
    made = loads_inert(pickle.dumps([Kept(1), ValueError("x"), {1}], 2))
    assert [type(value).__name__ for value in made] == ["StandIn", "StandIn", "set"]


# Noise.


def loads_or_refuses(data: bytes) -> None:
    for loads in (pickler().loads, loads_inert):
        with contextlib.suppress(pickle.UnpicklingError):
            loads(data)


@given(st.binary())
def test_random_bytes_are_refused_or_plain(data: bytes) -> None:
    loads_or_refuses(data)
    loads_or_refuses(b"\x80\x04" + data)


VALUES: list[object] = [
    {"args": (1, "x", b"y", 2.5, None, True, {1, 2}, frozenset([3]), bytearray(b"z"))},
    [ValueError("x"), Canary.__new__(Canary), KeyError],
    [(1, (2, (3,))), [[]], {}, {"a": {"b": 10**30}}],
]
INTERESTING = [
    pickle.dumps(value, protocol)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    for value in VALUES
] + [b"\x80\x04" + KEPT + b"K\x01\x85R}" + text("a") + b"Nsb.", *BOMBS.values()]

OPCODES = st.sampled_from([bytes([op]) for op in b"(.012FIJKLMNPQRSTUVXabcdeghijloprstqu}])"])
PIECES = st.one_of(
    OPCODES,
    st.integers(0x80, 0x98).map(lambda op: bytes([op])),
    st.sampled_from([KEPT, name(HERE, "Canary"), name(HERE, "sing"), name("_codecs", "encode")]),
    st.sampled_from([name("builtins", n) for n in ("set", "ValueError", "bytearray", "getattr")]),
    st.sampled_from([text("a"), text("latin1"), b"K\x01", b"h\x00", b"q\x00", b"\x94", b"p0\n"]),
    st.binary(max_size=4),
)


@given(st.lists(PIECES, max_size=30).map(b"".join))
@example(b"\x94")
def test_random_programs_are_refused_or_harmless(program: bytes) -> None:
    loads_or_refuses(b"\x80\x04" + program + b".")


@given(st.sampled_from(INTERESTING), st.data())
def test_mutated_pickles_are_refused_or_harmless(data: bytes, draw: st.DataObject) -> None:
    position = draw.draw(st.integers(0, len(data)))
    cut = draw.draw(st.integers(0, 5))
    insert = draw.draw(PIECES)
    loads_or_refuses(data[:position] + insert + data[position + cut :])


SHORT_PIECES = st.one_of(
    st.sampled_from(list(b"\x94)]}\x8fN\x88\x89aesu\x90\x85\x86\x87t\x91(.\x95hj")).map(
        lambda op: bytes([op])
    ),
    st.sampled_from([text("a"), b"K\x01", b"C\x02xy", b"h\x00", b"J1234", b"G12345678"]),
    st.binary(max_size=2),
)


@given(
    st.lists(SHORT_PIECES, max_size=12).map(b"".join), st.sampled_from([b"", b"\x95" + b"8" * 8])
)
@example(b"(e", b"")
@example(b"\x94", b"\x95" + b"8" * 8)
@example(b"\x8c\x05abcd", b"")
@example(b"K", b"")
@example(b".", b"")
def test_the_shortcut_lets_nothing_through_that_the_walk_does_not(
    program: bytes, frame: bytes
) -> None:
    data = b"\x80\x04" + frame + program + b"."
    if _plain._match(data) and not walk(data, FREE_MEMORY):
        with pytest.raises((pickle.UnpicklingError, EOFError)):  # nothing on the stack
            pickle.loads(data)


@given(st.sampled_from(INTERESTING), st.data())
def test_truncated_pickles_are_refused(data: bytes, draw: st.DataObject) -> None:
    refused(data[: draw.draw(st.integers(0, len(data) - 1))])


@given(st.sampled_from(INTERESTING), st.binary(min_size=1))
def test_trailing_bytes_are_refused(data: bytes, more: bytes) -> None:
    refused(data + more)


# Registered classes of the standard library that a few bytes can make work without an end.


class Share(Fraction):
    """Made as a Fraction is."""


def fraction(*args: object, cls: type = Fraction) -> bytes:
    """A pickle of ``cls(*args)``, which is not called here."""
    return b"\x80\x04" + pickle.dumps(cls, 4)[2:-1] + pickle.dumps(args, 4)[2:-1] + b"R."


def new_fraction(*args: object) -> bytes:
    return fraction(*args)[:-2] + b"\x81."


@pytest.fixture
def with_fractions() -> SafePickler:
    pickler = SafePickler()
    pickler.register(Fraction)
    pickler.register(Share)
    return pickler


@pytest.mark.parametrize(
    "value",
    [
        Fraction(-1, 3),
        Fraction(7),
        Share(22, 7),
        Fraction(10**4000, 3),
        {Fraction(1, 2): [Share(1)]},
    ],
)
def test_fractions_travel(with_fractions: SafePickler, value: object) -> None:
    assert with_fractions.loads(with_fractions.dumps(value)) == value


@pytest.mark.parametrize(
    "args", [("1/3",), (1, 3), ("-22/7",), ("5",)], ids=["text", "numbers", "negative", "whole"]
)
def test_fractions_are_read_as_every_python_writes_them(
    with_fractions: SafePickler, args: tuple[object, ...]
) -> None:
    assert with_fractions.loads(fraction(*args)) == Fraction(*args)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "args",
    [
        ("1E60000000",),
        ("1e-60000000",),
        (1 << 70_000, 3),
        (3, 1 << 70_000),
        ("1" * 70_000,),
        (0.5,),
    ],
    ids=["power", "negative power", "long numerator", "long denominator", "long text", "float"],
)
@pytest.mark.parametrize("pickled", [fraction, new_fraction])
def test_fractions_that_would_take_long_are_refused(
    with_fractions: SafePickler, args: tuple[object, ...], pickled: Callable[..., bytes]
) -> None:
    with pytest.raises(pickle.UnpicklingError, match="two numbers"):
        with_fractions.loads(pickled(*args))


def test_subclasses_of_fractions_are_looked_at_too(with_fractions: SafePickler) -> None:
    with pytest.raises(pickle.UnpicklingError, match="two numbers"):
        with_fractions.loads(fraction("1E60000000", cls=Share))


def test_an_encoder_of_fractions_does_not_open_their_constructor() -> None:
    pickler = SafePickler()
    pickler.register(Fraction, encode=lambda value: (value.numerator, value.denominator))
    assert pickler.loads(pickler.dumps(Fraction(1, 3))) == Fraction(1, 3)
    with pytest.raises(pickle.UnpicklingError, match="two numbers"):
        pickler.loads(fraction("1E60000000"))
