"""What migrating-from-1.6.md says of numpy arrays is run here, with the lines of the page."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from snakemq.rpc import SafePickler

from .pages import DOCS

numpy = pytest.importorskip("numpy")

PAGE = (DOCS / "migrating-from-1.6.md").read_text()


def line_of(name: str) -> Callable[..., Any]:
    """The function that the page gives as this argument."""
    (line,) = re.findall(rf"^- `{name}=(lambda .+?)`", PAGE, re.MULTILINE)
    function: Callable[..., Any] = eval(line, {"numpy": numpy})
    return function


@pytest.fixture
def pickler() -> SafePickler:
    pickler = SafePickler()
    pickler.register(numpy.ndarray, encode=line_of("encode"), decode=line_of("decode"))
    return pickler


ARRAYS = {
    "numbers": numpy.arange(24.0).reshape(2, 3, 4),
    "big-endian": numpy.arange(5, dtype=">i2"),
    "empty": numpy.zeros((0, 7)),
    "no dimension": numpy.array(5),
    "text": numpy.array(["a", "bcd"]),
    "times": numpy.array(["2026-11-28", "NaT"], "datetime64[s]"),
    "part of another one": numpy.arange(20).reshape(4, 5).T[1:, ::2],
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_travel(pickler: SafePickler, array: Any) -> None:
    (arrived,) = pickler.loads(pickler.dumps([array]))
    assert (arrived.dtype, arrived.shape) == (array.dtype, array.shape)
    assert arrived.tobytes() == array.tobytes()
    assert not arrived.flags.writeable


def test_a_structured_array_loses_the_names_of_its_fields(pickler: SafePickler) -> None:
    array = numpy.array([(1, 2.0)], dtype=[("number", "i4"), ("share", "f8")])
    arrived = pickler.loads(pickler.dumps(array))
    assert arrived.dtype.names is None
    assert arrived.tobytes() == array.tobytes()


def test_arrays_of_objects_are_refused_by_the_sender(pickler: SafePickler) -> None:
    with pytest.raises(pickle.PicklingError, match="refuse"):
        pickler.dumps(numpy.array([object()]))


@pytest.mark.parametrize(
    "parts",
    [("|O", (1,), bytes(8)), ("<f8", (10**12,), bytes(8)), ("nonsense", (1,), b"x"), ("<f8", (2,))],
    ids=["objects", "a shape that is too large", "no type", "too few parts"],
)
def test_what_is_not_an_array_is_refused(pickler: SafePickler, parts: tuple[object, ...]) -> None:
    data = b"\x80\x04" + pickle.dumps(numpy.ndarray, 4)[2:-1] + pickle.dumps(parts, 4)[2:-1] + b"R."
    with pytest.raises(pickle.UnpicklingError):
        pickler.loads(data)
