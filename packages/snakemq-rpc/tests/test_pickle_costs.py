"""What a pickle costs follows from its length: shown by counting, and not by the clock."""

from __future__ import annotations

import collections
import contextlib
import enum
import io
import ipaddress
import pickle
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from snakemq.rpc import SafePickler
from snakemq.rpc._pickling import _plain
from snakemq.rpc._pickling._builder import InertBuilder, RegisteredBuilder
from snakemq.rpc._pickling._costs import Costs
from snakemq.rpc._pickling._limits import FREE_MEMORY, FREE_STEPS, MEMORY_FACTOR, STEPS_PER_BYTE
from snakemq.rpc._pickling._machine import Machine
from snakemq.rpc._pickling._probing import Probing

MODULUS = sys.hash_info.modulus


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def long(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


VALUE_ERROR = named("builtins", "ValueError")
FRAME = b"\x95" + bytes(8)


class Color(enum.Enum):
    RED = 1
    PAIR = (1, 2)


class Row(NamedTuple):
    number: int
    text: str


@dataclass(frozen=True)
class Key:
    part: object


class Text(str):
    pass


class Blob(bytes):
    pass


class Buffer(bytearray):
    pass


class Tags(set[object]):
    pass


class Table(dict[object, object]):
    pass


def a_pickler() -> SafePickler:
    pickler = SafePickler()
    for cls in (
        Row,
        Key,
        Tags,
        Table,
        Text,
        Blob,
        Buffer,
        range,
        io.BytesIO,
        io.StringIO,
        collections.deque,
        collections.Counter,
        collections.defaultdict,
    ):
        pickler.register(cls)
    return pickler


def costs_of(data: bytes) -> Costs:
    """The counts of what the machine did, until it was done or had enough."""
    registered = {f"{cls.__module__}.{cls.__qualname__}": cls for cls in (Row, Key, Tags, Table)}
    builder = RegisteredBuilder(registered, {})
    machine = Machine(data, builder, FREE_MEMORY + MEMORY_FACTOR * len(data))
    with contextlib.suppress(pickle.UnpicklingError):
        machine.run()
    return machine.costs


def refused(data: bytes) -> str:
    with pytest.raises(pickle.UnpicklingError) as caught:
        a_pickler().loads(data)
    return str(caught.value)


def equal_ints(n: int) -> bytes:
    return b"}(" + b"".join(long(k * MODULUS) + b"N" for k in range(1, n)) + b"u"


def equal_ints_one_by_one(n: int) -> bytes:
    return b"}" + b"".join(long(k * MODULUS) + b"Ns" for k in range(1, n))


def equal_ints_in_a_set(n: int) -> bytes:
    return b"\x8f(" + b"".join(long(k * MODULUS) for k in range(1, n)) + b"\x90"


def equal_ints_in_a_frozenset(n: int) -> bytes:
    return equal_ints_in_a_set(n)[1:-1] + b"\x91"


def equal_complex_numbers(n: int) -> bytes:
    floats = (struct.pack(">d", -1000003.0 * k) + b"G" + struct.pack(">d", k) for k in range(1, n))
    numbers = (b"h\x00G" + pair + b"\x86RN" for pair in floats)
    return named("builtins", "complex") + b"\x940}(" + b"".join(numbers) + b"u"


def equal_tuples(n: int) -> bytes:
    """-1 and -2 have one hash, so all tuples of them have."""
    minus = (b"J" + struct.pack("<i", -1), b"J" + struct.pack("<i", -2))
    keys = (b"(" + b"".join(minus[k >> bit & 1] for bit in range(16)) + b"tN" for k in range(n))
    return b"}(" + b"".join(keys) + b"u"


def equal_frozensets(n: int) -> bytes:
    minus = (b"J" + struct.pack("<i", -1), b"J" + struct.pack("<i", -2))
    keys = (
        b"((" + b"".join(minus[k >> bit & 1] for bit in range(16)) + b"t\x91N" for k in range(n)
    )
    return b"}(" + b"".join(keys) + b"u"


def equal_objects(n: int) -> bytes:
    keys = (b"h\x00)\x81}" + text("part") + long(k * MODULUS) + b"sbN" for k in range(1, n))
    return named(__name__, "Key") + b"\x940}(" + b"".join(keys) + b"u"


def numbers_that_meet(n: int) -> bytes:
    """Different hashes, and all of them walk along the same slots of the table of a dict."""
    size = 8
    while size * 2 // 3 < 4 * n:
        size *= 2
    index, chain = 0, {}
    for step in range(size // 3):
        chain[index] = step
        index = (index * 5 + 1) % size
    keys = [*chain]
    for start in [*chain][: size // 12]:
        for high in range(1, 32):
            number = perturb = start + high * size
            index = number % size
            while perturb and index in chain:
                perturb >>= 5
                index = (index * 5 + perturb + 1) % size
            if chain.get(index, size) < size // 6:
                keys.append(number)
        if len(keys) > size // 3 + n:
            break
    items = (b"J" + struct.pack("<i", key) + b"N" for key in keys)
    return b"}(" + b"".join(items) + b"u"


HASH_BOMBS: list[Callable[[int], bytes]] = [
    equal_ints,
    equal_ints_one_by_one,
    equal_ints_in_a_set,
    equal_ints_in_a_frozenset,
    equal_complex_numbers,
    equal_tuples,
    equal_frozensets,
    equal_objects,
    numbers_that_meet,
]


@pytest.mark.parametrize("bomb", HASH_BOMBS, ids=lambda bomb: bomb.__name__)
def test_keys_that_meet_cost_steps_in_proportion_and_are_refused(
    bomb: Callable[[int], bytes],
) -> None:
    data = b"\x80\x04" + bomb(5000) + b"."
    assert not _plain.is_plain(data, FREE_MEMORY)
    assert "steps" in refused(data)
    # What is paid for at once, and cannot be paid, is one key with all that it meets.
    assert costs_of(data).steps < FREE_STEPS + (STEPS_PER_BYTE + 16) * len(data)


@pytest.mark.parametrize("is_set", [False, True], ids=["dict", "set"])
def test_keys_that_do_not_meet_are_put_where_they_belong(is_set: bool) -> None:
    probing = Probing(is_set=is_set)
    assert sum(sum(probing.insert(key)) for key in range(10_000)) == 0


@pytest.mark.parametrize("is_set", [False, True], ids=["dict", "set"])
def test_equal_hashes_are_all_compared(is_set: bool) -> None:
    probing = Probing(is_set=is_set)
    assert all(probing.insert(7)[1] >= count for count in range(100))


@pytest.mark.parametrize(
    "value",
    [
        dict.fromkeys(range(100_000)),
        {k * 1000 for k in range(30_000)},
        {float(k) for k in range(30_000)},
        {(k, -k): k for k in range(20_000)},
        {frozenset([k, k + 1]) for k in range(5000)},
        {2**64 + k for k in range(10_000)},
        {complex(k, 1) for k in range(10_000)},
    ],
    ids=[
        "ints",
        "thousands",
        "floats",
        "tuples",
        "frozensets",
        "long ints",
        "complex",
    ],
)
def test_honest_keys_come_nowhere_near_the_limit(value: Any) -> None:
    pickler = SafePickler()
    data = pickler.dumps(value)
    assert pickler.loads(data) == value
    machine = Machine(data, InertBuilder(), FREE_MEMORY + MEMORY_FACTOR * len(data))
    machine.run()
    assert machine.costs.steps < (FREE_STEPS + STEPS_PER_BYTE * len(data)) / 2


@pytest.mark.parametrize(
    "value",
    [
        {k << 40: None for k in range(20_000)},
        [{k * 64 for k in range(20)} for _ in range(10_000)],
        {k / 1000 for k in range(200_000)},
    ],
    ids=["high bits", "sets of 20", "thousandths"],
)
def test_honest_numbers_with_equal_low_bits_arrive(value: Any) -> None:
    assert SafePickler().loads(SafePickler().dumps(value)) == value


def test_a_few_keys_with_equal_hashes_are_fine() -> None:
    value = {k * MODULUS: k for k in range(50)} | {(-1, -2): 1, (-2, -1): 2}
    data = SafePickler().dumps(value)
    assert _plain.is_plain(data, FREE_MEMORY)
    assert SafePickler().loads(data) == value


@pytest.mark.parametrize("container", [Tags, Table, collections.Counter])
@pytest.mark.parametrize("make", [b"R", b"\x81"], ids=["called", "new"])
def test_what_a_registered_set_or_dict_is_made_of_is_hashed_by_it(
    container: type, make: bytes
) -> None:
    """With keys that all meet, and with one that has 2**60 leaves."""
    pair = container is Table
    numbers = b"".join(long(k * MODULUS) + b"N\x86" * pair for k in range(1, 5000))
    made = named(container.__module__, container.__name__)
    data = b"\x80\x04" + made + b"](" + numbers + b"e\x85" + make + b"."
    assert "steps" in refused(data)
    bomb = b")\x94"
    for level in range(60):
        bomb += (b"h" + bytes([level])) * 2 + b"\x86\x94"
    key = b"h" + bytes([60]) + b"N\x86" * pair
    for items in (b"](" + key + b"e", key + b"\x85"):
        assert "steps" in refused(b"\x80\x04" + bomb + made + items + b"\x85" + make + b".")


@pytest.mark.parametrize("use", [b"h\x00h\x01R", b"h\x00)Rh\x01b"], ids=["call", "state"])
def test_arguments_are_not_looked_at_again_and_again(use: bytes) -> None:
    shared = b"(" + b"N" * 2000 + b"t\x940"
    data = b"\x80\x04" + VALUE_ERROR + b"\x940" + shared + b"](" + use * 2000 + b"e."
    refused(data)
    assert costs_of(data).steps < 1.1 * (FREE_STEPS + STEPS_PER_BYTE * len(data))


@pytest.mark.parametrize("make", [b"R", b"\x81"], ids=["called", "new"])
@pytest.mark.parametrize("cls", [Text, Blob, Buffer])
def test_a_registered_text_is_made_of_text_only(cls: type, make: bytes) -> None:
    """Not of a tuple whose ``repr`` has no end, and not of a number of bytes."""
    bomb = b")\x94"
    for level in range(60):
        bomb += (b"h" + bytes([level])) * 2 + b"\x86\x94"
    made = named(__name__, cls.__name__)
    for argument in (b"h" + bytes([60]), long(10**12)):
        data = b"\x80\x04" + bomb + made + argument + b"\x85" + make + b"."
        assert "made of text" in refused(data)
    values = [Text("a"), Blob(b"b"), Buffer(b"c"), Text(), Blob(), Buffer()]
    assert a_pickler().loads(a_pickler().dumps(values)) == values


@pytest.mark.parametrize("source", ["range", "deque"])
def test_what_is_read_by_a_call_is_paid_even_if_nothing_is_kept(source: str) -> None:
    make = named("collections", "deque")
    if source == "range":
        data = make + named("builtins", "range") + long(10**15) + b"\x85RK\x01\x86R"
    else:
        many = make + b"](" + b"N" * 20_000 + b"e\x85R\x940"
        data = make + b"\x940" + many + b"](" + b"h\x00h\x01K\x01\x86R" * 2000 + b"e"
    assert "steps" in refused(b"\x80\x04" + data + b".")


def test_an_error_shows_little_of_what_a_peer_wrote() -> None:
    pickler = SafePickler()
    pickler.register(ipaddress.IPv4Address)
    address = named("ipaddress", "IPv4Address")
    long_text = b"X" + struct.pack("<I", 100_000) + b"x" * 100_000
    for argument in (long_text, text("\n forged line")):
        with pytest.raises(pickle.UnpicklingError) as caught:
            pickler.loads(b"\x80\x04" + address + argument + b"\x85R.")
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()
    assert "not printable" in refused(b"\x80\x04" + named("a\nforged", "b") + b".")


def test_an_error_that_holds_lists_of_lists_has_no_text() -> None:
    class Picky:
        def __init__(self, value: object) -> None:
            raise ValueError(value)

    pickler = SafePickler()
    pickler.register(Picky, names=["shop.Picky"])
    bomb = b"]\x94"
    for level in range(60):
        bomb += b"](h" + bytes([level]) + b"h" + bytes([level]) + b"e\x94"
    with pytest.raises(pickle.UnpicklingError, match=r"ValueError$"):
        pickler.loads(b"\x80\x04" + bomb + named("shop", "Picky") + b"h\x3c\x85R.")


@pytest.mark.parametrize("n", [100, 1100, 3000])
def test_the_sender_refuses_numbers_that_the_receiver_would_refuse(n: int) -> None:
    """However short the pickle is."""
    keys = pickle.loads(b"\x80\x04" + numbers_that_meet(n) + b".")
    pickler = a_pickler()
    try:
        data = pickler.dumps(keys)
    except pickle.PicklingError:
        refused(pickle.dumps(keys, 4))
    else:
        assert pickler.loads(data) == keys


# What is fetched again.


@pytest.mark.parametrize("between", [b"", FRAME, b"(e", b"(" + FRAME + b"u", b"(\x90", b"N0"])
@pytest.mark.parametrize("make", [b"\x86", b"(t\x86", b"N\x87"])
def test_a_tuple_is_never_fetched_on_the_fast_way(make: bytes, between: bytes) -> None:
    """Whatever stands between the opcode that makes it, and the one that remembers it."""
    data = b"\x80\x04)" + make.replace(b"\x86", b"N\x86") + between + b"\x94h\x00\x86."
    assert not _plain.is_plain(data, FREE_MEMORY)


def test_895_bytes_do_not_hang_the_process() -> None:
    bomb = b"\x80\x04)\x94"
    for level in range(50):
        bomb += (b"h" + bytes([level])) * 2 + b"\x86(" + FRAME + b"u\x94"
    bomb += b"}h" + bytes([50]) + b"Ns."
    assert not _plain.is_plain(bomb, FREE_MEMORY)
    refused(bomb)
    assert costs_of(bomb).steps < 100


def test_text_that_is_compared_again_and_again_is_measured() -> None:
    big = b"X" + struct.pack("<I", 1_000_000) + b"x" * 1_000_000 + b"\x94"
    data = b"\x80\x04](" + big + big + b"}h\x00Ns(" + b"h\x01N" * 100_000 + b"ue."
    assert not _plain.is_plain(data, FREE_MEMORY)
    assert "steps" in refused(data)


def test_an_object_that_grows_within_a_key_is_hashed_at_its_new_size() -> None:
    many = b"(" + b"K\x01" * 10_000 + b"t"
    key = named(__name__, "Key") + b")\x81\x94"  # 0 is the object
    late = b"0h\x00\x85\x940" + b"h\x00}" + text("part") + many + b"sb0"  # 1 is the tuple of it
    data = b"\x80\x04" + key + late + b"](" + b"}h\x01Ns" * 5000 + b"e."
    assert "steps" in refused(data)
    assert costs_of(data).steps < 2 * (FREE_STEPS + STEPS_PER_BYTE * len(data))


@pytest.mark.parametrize("codec", ["punycode", "idna", "unicode_escape"])
def test_classes_of_text_are_made_with_no_codec_that_a_peer_names(codec: str) -> None:
    data = b"\x80\x04" + named(__name__, "Text") + b"C\x03abc" + text(codec) + b"\x86\x81."
    assert "codec" in refused(data)


# Memory.

BIG_LIST = b"](" + b"N" * 100_000 + b"e"
BIG_TEXT = b"X" + struct.pack("<I", 100_000) + b"x" * 100_000

AMPLIFIERS = {
    "dicts": b"}",
    "lists": b"]",
    "sets": b"\x8f",
    "frozensets": b"(\x91",
    "dicts with an item": b"}NNs",
    "sets with an item": b"\x8f(N\x90",
    "tuples": b"N\x85",
    "tuples in tuples": b")" + b"\x85" * 400,
    "lists with an item": b"]Na",
    "marks": b"(",
    "memoized": b"]\x94",
}


@pytest.mark.parametrize("way", AMPLIFIERS)
def test_memory_is_bounded(way: str) -> None:
    limit = 4 << 20
    part = AMPLIFIERS[way]
    data = b"\x80\x04](" + part * (100_000 // len(part)) + b"e."

    def load(data: bytes) -> None:
        if _plain.is_plain(data, limit):
            pickle.loads(data)
        else:
            Machine(data, InertBuilder(), limit).run()

    assert peak_of(data, load) < 3 * limit


def peak_of(data: bytes, load: Callable[[bytes], object] | None = None) -> int:
    """Bytes that were allocated at most."""
    tracemalloc.start()
    try:
        (load or a_pickler().loads)(data)
    except (pickle.UnpicklingError, EOFError):
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def test_the_factor_of_memory_is_the_users_choice() -> None:
    value: list[object] = [set() for _ in range(400_000)]
    with pytest.raises(pickle.PicklingError, match="memory_factor"):
        SafePickler().dumps(value)
    pickler = SafePickler(memory_factor=200)
    data = pickler.dumps(value)
    assert len(pickler.loads(data)) == len(value)
    with pytest.raises(pickle.UnpicklingError, match="memory_factor"):
        SafePickler().loads(data)


@pytest.mark.parametrize(
    "big", [b"](" + b"N" * 100_000 + b"e", b"X\xa0\x86\x01\0" + b"x" * 100_000]
)
@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(b"h\x00)R}" + text("args") + b"h\x01sb", id="args as a state"),
        pytest.param(b"h\x00)RN}" + text("args") + b"h\x01s\x86b", id="args as a slot"),
        pytest.param(named("builtins", "SyntaxError") + b"Nh\x01\x86R", id="SyntaxError"),
        pytest.param(named("builtins", "ExceptionGroup") + b"Nh\x01\x86R", id="ExceptionGroup"),
        pytest.param(named("builtins", "bytearray") + b"h\x01\x85R", id="bytearray"),
        pytest.param(named("builtins", "set") + b"h\x01\x85R", id="set"),
        pytest.param(named("collections", "deque") + b"h\x01\x85R", id="deque"),
    ],
)
def test_nothing_is_copied_again_and_again(copy: bytes, big: bytes) -> None:
    data = b"\x80\x04" + VALUE_ERROR + b"\x940" + big + b"\x940](" + copy * 3000 + b"e."
    refused(data)
    assert costs_of(data).memory < 1.5 * (FREE_MEMORY + MEMORY_FACTOR * len(data))


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("BytesIO", b"B", b"h\x01K\x00N\x87"),
        ("StringIO", b"X", b"(h\x01X\0\0\0\0K\x00Nt"),
    ],
)
def test_a_copy_in_a_state_takes_memory(name: str, content: bytes, state: bytes) -> None:
    big = content + struct.pack("<I", 100_000) + b"x" * 100_000 + b"\x940"
    data = b"\x80\x04" + named("_io", name) + b"\x940" + big
    data += b"](" + (b"h\x00)R" + state + b"b") * 2000 + b"e."
    assert "memory" in refused(data)


def test_the_content_of_a_bytearray_is_not_copied_by_exceptions() -> None:
    big = b"\x96" + struct.pack("<Q", 1_000_000) + bytes(1_000_000) + b"\x94"
    call = named("builtins", "UnicodeDecodeError") + b"(" + text("utf-8") + b"h\x00K\x00K\x01"
    data = b"\x80\x04" + big + b"0](" + (call + text("why") + b"tR") * 1000 + b"e."
    refused(data)
    assert peak_of(data) < 1.5 * (FREE_MEMORY + MEMORY_FACTOR * len(data))


def test_names_are_not_glued_together_again_and_again() -> None:
    data = b"\x80\x04X\xa0\x86\x01\0" + b"x" * 100_000 + b"\x940(" + b"h\x00h\x00\x93" * 100 + b"t."
    assert "too long" in refused(data)


def test_deep_chains_that_are_made_from_the_outside_do_not_kill_the_process() -> None:
    """In a process of its own: it would take this one along."""
    script = """
import collections, pickle, struct
from snakemq.rpc import SafePickler
pickler = SafePickler()
pickler.register(collections.deque)
pickler.register(collections.defaultdict)
get = lambda n: b"j" + struct.pack("<I", n)
for name, link in (
    (b"builtins\\nImportError", lambda n: b"}\\x8c\\x04name" + n + b"sb"),
    (b"collections\\ndeque", lambda n: n + b"a"),
    (b"collections\\ndefaultdict", lambda n: b"N" + n + b"s"),
):
    parts = [b"\\x80\\x04c" + name + b"\\n\\x940" + get(0) + b")R\\x940"]
    for n in range(1, 200_000):
        parts.append(get(0) + b")R\\x940" + get(n) + link(get(n + 1)) + b"0")
    try:
        pickler.loads(b"".join(parts) + get(1) + b".")
    except pickle.UnpicklingError as exc:
        pass
print("alive")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "alive\n", (done.returncode, done.stderr)


def test_a_wrong_member_of_an_enumeration_is_not_shown() -> None:
    """``repr()`` of a list that holds another one twice, and so on, has no end."""
    pickler = SafePickler()
    pickler.register(Color)
    bomb = b"]\x94"
    for level in range(60):
        bomb += b"](h" + bytes([level]) + b"h" + bytes([level]) + b"e\x94"
    for value in (b"h" + bytes([60]), b"h" + bytes([60]) + b"\x85"):
        color = named(Color.__module__, Color.__qualname__)
        with pytest.raises(pickle.UnpicklingError, match="no member"):
            pickler.loads(b"\x80\x04" + bomb + color + value + b"\x85R.")
    assert pickler.loads(pickler.dumps(Color.PAIR)) is Color.PAIR


# False alarms.


@pytest.mark.parametrize("count", [100, 2000])
def test_rows_may_share_a_long_text(count: int) -> None:
    shared = "lorem ipsum " * 1000
    rows = [Row(number, shared) for number in range(count)]
    assert a_pickler().loads(a_pickler().dumps(rows)) == rows


def test_thousands_of_tuples_take_the_fast_way() -> None:
    data = SafePickler().dumps({"rows": [(k, str(k), 1.5, None) for k in range(5000)]})
    assert _plain.is_plain(data, FREE_MEMORY)


def test_ten_thousand_exceptions_may_share_their_text() -> None:
    shared = "x" * 10_000
    value = [ValueError(shared, number) for number in range(10_000)]
    loaded = SafePickler().loads(SafePickler().dumps(value))
    assert [error.args for error in loaded] == [error.args for error in value]


def test_args_in_the_state_of_an_exception_are_taken() -> None:
    """Python 3.12 and later write them there for an AttributeError and a NameError."""
    state = b"}(" + text("args") + text("text") + b"\x85" + text("name") + text("attribute") + b"u"
    data = (
        b"\x80\x04" + named("builtins", "AttributeError") + text("text") + b"\x85R" + state + b"b."
    )
    loaded = SafePickler().loads(data)
    assert loaded.args == ("text",)
    assert loaded.name == "attribute"
