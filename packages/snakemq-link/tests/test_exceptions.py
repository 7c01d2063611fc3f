"""The tree of exceptions: that of 1.6, and what has grown on it."""

from __future__ import annotations

import inspect
import pickle

import pytest

from snakemq import exceptions

TREE_OF_1_6 = {
    "SnakeMQException": "Exception",
    "NoConnection": "SnakeMQException",
    "SendNotFinished": "SnakeMQException",
    "SnakeMQBrokenFormat": "SnakeMQException",
    "SnakeMQBrokenMessage": "SnakeMQBrokenFormat",
    "SnakeMQBrokenPacket": "SnakeMQBrokenFormat",
    "SnakeMQIncompatibleProtocol": "SnakeMQException",
    "SnakeMQNoIdent": "SnakeMQException",
    "SnakeMQUnknownRoute": "SnakeMQException",
}

ALL = [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("name", TREE_OF_1_6)
def test_names_of_1_6_have_kept_their_places(name: str) -> None:
    assert getattr(exceptions, name).__mro__[1].__name__ == TREE_OF_1_6[name]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_has_the_root_a_public_home_and_a_docstring(kind: type[Exception]) -> None:
    assert issubclass(kind, exceptions.SnakeMQException)
    assert kind.__module__ == "snakemq.exceptions"
    assert inspect.getdoc(kind)
    copy = pickle.loads(pickle.dumps(kind("what was wrong")))
    assert type(copy) is kind
    assert str(copy) == "what was wrong"


def test_tree_in_the_documentation_is_the_tree() -> None:
    """It has the same names at the same depth."""
    lines = (exceptions.__doc__ or "").splitlines()
    drawn: dict[str, int] = {}
    for line in lines:
        for name in exceptions.__all__:
            if name in line.split() and name not in drawn:
                drawn[name] = (line.index(name) - 4) // 4
    depths = {
        kind.__name__: sum(
            issubclass(base, exceptions.SnakeMQException) for base in kind.__mro__[1:]
        )
        for kind in ALL
    }
    assert drawn == depths


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(exceptions.LoopError, RuntimeError), (exceptions.SnakeMQMessageTooLarge, ValueError)],
)
def test_misuse_is_caught_by_the_builtin_that_fits(
    kind: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(kind, builtin)


def test_storage_error_says_whether_another_try_may_help() -> None:
    assert not exceptions.StorageError("gone").temporary
    assert exceptions.StorageError("locked", temporary=True).temporary
