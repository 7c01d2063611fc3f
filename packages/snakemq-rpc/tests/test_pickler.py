from __future__ import annotations

import array
import copy
import enum
import pickle
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import snakemq.exceptions
import snakemq.rpc
from snakemq.exceptions import StorageError
from snakemq.rpc import NoMethodError, RemoteError, SafePickler, UnregisteredClass
from snakemq.rpc._pickling import _plain
from snakemq.rpc._pickling._limits import FREE_MEMORY
from snakemq.rpc._pickling._pickler import loads_inert

PROTOCOLS = st.integers(0, pickle.HIGHEST_PROTOCOL)


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner)
            | st.lists(inner).map(tuple)
            | st.dictionaries(st.text() | st.integers(), inner)
        ),
        max_leaves=30,
    )


HASHABLE: st.SearchStrategy[Hashable] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(60, 3000).map(lambda bits: -(3**bits))
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.integers(250, 300).map("x".__mul__)
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5).map(tuple) | st.frozensets(inner, max_size=5),
    max_leaves=10,
)
PLAIN = trees(
    HASHABLE
    | st.binary().map(bytearray)
    | st.sets(HASHABLE)
    | st.dictionaries(HASHABLE, st.integers())
)


def same(a: object, b: object) -> bool:
    """Equal, and of the same types all the way down: 1 is not True here."""
    return a == b and shape(a) == shape(b)


def shape(value: Any) -> Any:
    """The types in a value, whatever the order of its sets is."""
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(shape(item)) for item in value)
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    return type(value)


@given(PLAIN, PROTOCOLS)
def test_plain_data_comes_back_as_from_pickle(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert same(SafePickler().loads(data), pickle.loads(data))


@given(PLAIN, PROTOCOLS)
def test_the_slow_machine_agrees_with_pickle_about_all_of_it(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert same(loads_inert(data), pickle.loads(data))


@given(trees(st.integers() | st.text() | st.binary() | st.none() | st.floats(allow_nan=False)))
def test_whatever_takes_the_fast_way_is_plain(value: object) -> None:
    data = SafePickler().dumps(value)
    assert not _plain.is_plain(data, FREE_MEMORY) or same(pickle.loads(data), value)


def test_a_request_takes_the_fast_way() -> None:
    request = {"command": "call", "args": (1, "a", "a"), "kwargs": {"x": [1.5, None]}}
    assert _plain.is_plain(SafePickler().dumps(request), FREE_MEMORY)


@pytest.mark.parametrize(
    "args",
    [
        (),
        (0, 255, 65535, -1, 2**31 - 1, 2**40, 1.5),
        (None, True, False, "", "x" * 39, b"", b"y" * 39),
        ([], [1, 2], {}, {"a": 1}, {"b": 1, "c": 2}, (), (1,), (1, 2, 3, 4), {1}, frozenset([1])),
    ],
    ids=["none", "numbers", "scalars", "containers"],
)
def test_a_short_request_takes_the_shortcut(args: tuple[object, ...]) -> None:
    request = {
        "command": "call",
        "object": "account",
        "method": "deposit",
        "args": args,
        "kwargs": {},
        "req_id": bytes(16),
    }
    assert _plain._match(SafePickler().dumps(request))


@given(PROTOCOLS)
def test_shared_and_recursive_structures_keep_their_shape(protocol: int) -> None:
    shared = ["shared"]
    value: list[Any] = [shared, shared, (shared,), {"key": shared}]
    value.append(value)
    value.append((value,))
    loaded = SafePickler().loads(pickle.dumps(value, protocol))
    assert loaded[0] is loaded[1] is loaded[2][0] is loaded[3]["key"]
    assert loaded[4] is loaded
    assert loaded[5][0] is loaded


@given(PROTOCOLS)
def test_thousands_of_objects_are_all_there(protocol: int) -> None:
    value = [(number, str(number), {number}, bytes([number % 256])) for number in range(3000)]
    assert SafePickler().loads(pickle.dumps(value, protocol)) == value


def test_long_strings_that_are_used_often_are_fine() -> None:
    text = "x" * 1_000_000
    value = [{text: number} for number in range(100)]
    assert SafePickler().loads(SafePickler().dumps(value)) == value


def test_it_writes_protocol_4() -> None:
    assert SafePickler().dumps("x")[:2] == b"\x80\x04"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "exc",
    [
        ValueError("text", 1),
        KeyError("key"),
        OSError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "reason"),
        ImportError("text", name="module", path="path"),
        ExceptionGroup("group", [ValueError(1), TypeError(2)]),
        NoMethodError("method"),
        snakemq.exceptions.NoConnection("gone"),
        RemoteError("shop.OutOfStock", "sold out"),
        snakemq.rpc.SignalCallWarning("x"),
    ],
    ids=repr,
)
def test_builtin_exceptions_and_ours_come_back(exc: Exception, protocol: int) -> None:
    exc = copy.copy(exc)
    exc.add_note("a note")
    exc.detail = "more"  # type: ignore[attr-defined]
    loaded = SafePickler().loads(pickle.dumps(exc, protocol))
    assert type(loaded) is type(exc)
    assert repr(loaded) == repr(exc)
    assert str(loaded) == str(exc)
    assert loaded.__notes__ == ["a note"]
    assert vars(loaded)["detail"] == "more"


def test_fields_of_exceptions_come_back() -> None:
    loaded = SafePickler().loads(pickle.dumps(ImportError("text", name="module"), 4))
    assert loaded.name == "module"
    assert SafePickler().loads(pickle.dumps(StorageError("x", temporary=True), 4)).temporary


@pytest.mark.parametrize("cls", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_what_would_end_a_thread_is_refused(cls: type[BaseException]) -> None:
    with pytest.raises(UnregisteredClass, match=cls.__name__):
        SafePickler().loads(pickle.dumps(cls()))


def test_allowed_classes_may_also_be_values() -> None:
    assert SafePickler().loads(pickle.dumps([ValueError, set])) == [ValueError, set]


# Registered classes.


class Plain:
    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Point:
    x: int
    y: object


@dataclass(slots=True)
class Slotted:
    a: int
    _b: int = 0


class Color(enum.Enum):
    RED = 1


class Permission(enum.Flag):
    READ = 4
    WRITE = 2


class Numbers(list[int]):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.name = "numbers"


class Table(dict[str, int]):
    pass


class Bag(set[int]):
    pass


class WithKwargs:
    def __new__(cls, *, value: int) -> WithKwargs:
        self = super().__new__(cls)
        self.value = value
        return self

    value: int

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]:
        return (), {"value": self.value}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithKwargs) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


class Secretive:
    def __init__(self) -> None:
        self.restored = ""

    def __getstate__(self) -> str:
        return "state"

    def __setstate__(self, state: str) -> None:
        self.restored = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secretive)

    __hash__ = None  # type: ignore[assignment]


class OutOfStock(Exception):
    def __init__(self, item: str, left: int) -> None:
        super().__init__(item, left)
        self.left = left

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OutOfStock) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]


OBJECTS = [
    Plain({"nested": [1, 2]}),
    Point(1, Point(2, None)),
    Slotted(1, 2),
    Color.RED,
    Numbers([1, 2, 3]),
    Table(a=1, b=2),
    Bag({1, 2}),
    WithKwargs(value=5),
    Secretive(),
    OutOfStock("shoe", 0),
    Decimal("1.5"),
    datetime(2026, 1, 2, 3, 4),
]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_objects_of_registered_classes_come_back(value: Any, protocol: int) -> None:
    if isinstance(value, WithKwargs) and protocol < 4:
        pytest.skip("written with functools.partial")
    pickler = SafePickler()
    pickler.register(type(value))
    data = pickle.dumps([value], protocol)
    loaded = pickler.loads(data)[0]
    assert type(loaded) is type(value)
    assert loaded == value
    expected = pickle.loads(data)[0]
    assert getattr(loaded, "__dict__", None) == getattr(expected, "__dict__", None)


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_objects_of_other_classes_are_refused_by_name(value: Any) -> None:
    cls = type(value)
    with pytest.raises(UnregisteredClass) as caught:
        SafePickler().loads(pickle.dumps([value]))
    assert caught.value.type_name == f"{cls.__module__}.{cls.__qualname__}"
    assert "register" in str(caught.value)


def test_register_is_a_decorator() -> None:
    pickler = SafePickler()

    @pickler.register
    class Local:
        pass

    assert isinstance(Local, type)


def test_registration_is_for_one_pickler() -> None:
    SafePickler().register(Plain)
    with pytest.raises(UnregisteredClass):
        SafePickler().loads(pickle.dumps(Plain(1)))


def test_a_subclass_has_to_be_registered_itself() -> None:
    pickler = SafePickler()
    pickler.register(Exception)
    with pytest.raises(UnregisteredClass):
        pickler.loads(pickle.dumps(OutOfStock("shoe", 1)))


@pytest.mark.parametrize("something", [type, enum.EnumMeta, "Plain", Plain(1), None])
def test_only_ordinary_classes_and_functions_can_be_registered(something: Any) -> None:
    with pytest.raises(TypeError, match="ordinary classes"):
        SafePickler().register(something)


def test_a_refusal_is_an_error_of_pickle_and_of_ours() -> None:
    assert issubclass(UnregisteredClass, pickle.UnpicklingError)
    assert issubclass(UnregisteredClass, snakemq.rpc.Error)
    assert SafePickler.PickleError is pickle.PickleError


def test_one_pickler_serves_many_threads() -> None:
    pickler = SafePickler()
    pickler.register(Point)
    data = pickle.dumps([Point(number, {number}) for number in range(50)], 2)
    results: list[object] = []

    def load() -> None:
        results.append(pickler.loads(data))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [pickle.loads(data)] * 4


# What the sender refuses, and what else can be registered.


@pytest.mark.parametrize(
    "value", [Plain(1), [OutOfStock("shoe", 1)], {"a": Point(1, 2)}, Color.RED]
)
def test_what_is_not_registered_is_refused_by_its_sender(value: Any) -> None:
    with pytest.raises(UnregisteredClass, match="both sides"):
        SafePickler().dumps(value)


def cons(depth: int) -> object:
    value: object = None
    for number in range(depth):
        value = (number, value)
    return value


@pytest.mark.parametrize("names", [0, 10, 300])
def test_a_class_is_found_wherever_its_name_comes_from(names: int) -> None:
    """The name is written, or comes from a near or a far place of the memo."""
    words = ["fractions", "Fraction", *map(str, range(names))]
    for before in ([], words, [*words[2:], *words]):
        with pytest.raises(UnregisteredClass, match="Fraction"):
            SafePickler().dumps([before, Fraction(1, 2)])


def test_a_class_is_found_at_any_distance_from_the_head_of_a_frame() -> None:
    """A frame ends after 64 KiB, but not between a name and the opcode that looks it up."""
    pickler = SafePickler()
    for length in range(65_470, 65_540):
        with pytest.raises(UnregisteredClass, match="Fraction"):
            pickler.dumps([bytes(length // 2), bytes(length - length // 2), Fraction])


@pytest.mark.parametrize("value", [b"\x93", "an en dash \u2013", bytes(range(256))])
def test_a_byte_that_could_be_an_opcode_costs_its_sender_nothing(value: object) -> None:
    with mock.patch.object(SafePickler, "_check") as check:
        SafePickler().dumps({"req_id": b"\x93" * 16, "value": value})
    check.assert_not_called()


def test_what_is_nested_too_deeply_is_refused_by_its_sender() -> None:
    pickler = SafePickler()
    assert pickler.loads(pickler.dumps(cons(500))) == cons(500)
    with pytest.raises(pickle.PicklingError, match="nested deeper than 500"):
        pickler.dumps(cons(501))


class Wants(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def test_what_cannot_be_made_again_is_refused_by_its_sender() -> None:
    pickler = SafePickler()
    pickler.register(Wants)
    with pytest.raises(pickle.PicklingError, match="encode="):
        pickler.dumps(Wants(5, detail="d"))


def test_encode_and_decode_stand_between_an_object_and_plain_data() -> None:
    pickler = SafePickler()
    pickler.register(
        Wants,
        encode=lambda exc: (exc.code, exc.detail),
        decode=lambda code, detail: Wants(code, detail=detail),
    )
    loaded = pickler.loads(pickler.dumps([Wants(5, detail="d")]))[0]
    assert type(loaded) is Wants
    assert (loaded.code, loaded.detail) == (5, "d")
    with pytest.raises(pickle.UnpicklingError):  # made in this way only
        pickler.loads(pickle.dumps(Wants.__new__(Wants), 2).replace(b"R", b"\x81"))
    with pytest.raises(TypeError, match="class"):
        pickler.register(len, encode=lambda value: (value,))
    pickler.register(Plain, encode=lambda value: [value.value])  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="tuple"):
        pickler.dumps(Plain(1))


def test_functions_can_be_registered() -> None:
    pickler = SafePickler()
    pickler.register(array.array)
    values = array.array("i", [1, 2])
    with pytest.raises(UnregisteredClass, match=r"array\._array_reconstructor"):
        pickler.dumps(values)
    pickler.register(array._array_reconstructor)  # type: ignore[attr-defined]
    assert pickler.loads(pickler.dumps(values)) == values


@pytest.mark.parametrize(
    "value",
    [ZoneInfo("UTC"), datetime(2026, 1, 2, tzinfo=ZoneInfo("UTC")), PurePosixPath("a/b")],
    ids=lambda value: type(value).__name__,
)
def test_values_of_the_standard_library_travel(value: Any) -> None:
    pickler = SafePickler()
    for cls in (ZoneInfo, datetime, PurePosixPath):
        pickler.register(cls)
    loaded = pickler.loads(pickler.dumps(value))
    assert type(loaded) is type(value)
    assert loaded == value


@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])
def test_paths_travel_between_versions_of_python(module: str) -> None:
    pickler = SafePickler()
    pickler.register(PurePosixPath)
    data = b"\x80\x02c" + module.encode() + b"\nPurePosixPath\n(X\x01\x00\x00\x00atR."
    assert pickler.loads(data) == PurePosixPath("a")


def test_a_class_can_have_other_names() -> None:
    pickler = SafePickler()
    pickler.register(Plain, names=["shop.v1.Plain"])
    data = b"\x80\x02cshop.v1\nPlain\n)\x81}X\x05\x00\x00\x00valueK\x01sb."
    assert pickler.loads(data) == Plain(1)


def test_members_of_enumerations_travel_as_any_version_of_python_writes_them() -> None:
    pickler = SafePickler()
    pickler.register(Color)
    pickler.register(Permission)
    here = __name__.encode()
    color = b"c" + here + b"\nColor\n"
    red = b"cbuiltins\ngetattr\n" + color + b"X\x03\x00\x00\x00RED\x86R"  # 3.11.2
    assert pickler.loads(b"\x80\x02" + red + b".") is Color.RED
    assert pickler.loads(b"\x80\x02" + color + b"K\x01\x85R.") is Color.RED
    permission = b"c" + here + b"\nPermission\n"
    both = b"c_operator\nor_\n" + permission + b"K\x04\x85R" + permission + b"K\x02\x85R\x86R"
    assert pickler.loads(b"\x80\x02" + both + b".") == Permission.READ | Permission.WRITE
    for value in (Color.RED, Permission.READ, Permission.READ | Permission.WRITE):
        assert pickler.loads(pickler.dumps(value)) is value
    for name in (b"__class__", b"mro", b"name"):
        attribute = color + b"X" + len(name).to_bytes(4, "little") + name + b"\x86R."
        with pytest.raises(pickle.UnpicklingError):
            pickler.loads(b"\x80\x02cbuiltins\ngetattr\n" + attribute)
