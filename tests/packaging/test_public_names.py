"""The public names of all packages, held against a list, so that none comes or goes unnoticed."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from tools.packages import discover

PUBLIC_MODULES = sorted(
    module for package in discover().values() for module in package.modules() if "._" not in module
)


def read(name: str) -> dict[str, set[str]]:
    lines = (Path(__file__).parent / name).read_text().splitlines()
    pairs = (line.split(":") for line in lines if not line.startswith("#"))
    return {module: set(names.split()) for module, names in pairs}


DOCUMENTED = read("public_names.txt")


def test_every_public_module_is_in_the_list() -> None:
    assert sorted(DOCUMENTED) == PUBLIC_MODULES


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_all_is_what_is_in_the_list(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) == DOCUMENTED[name]
    assert len(module.__all__) == len(set(module.__all__))
    for public in module.__all__:
        assert hasattr(module, public)


def test_nothing_of_1_6_is_missing() -> None:
    for module, names in read("names_of_1.6.txt").items():
        assert names <= DOCUMENTED[module]


def classes_of(module: ModuleType) -> list[type]:
    members = [getattr(module, name) for name in module.__all__]
    return [member for member in members if inspect.isclass(member)]


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_every_class_reports_a_public_home(name: str) -> None:
    """Names go over the wire: a peer can decode ``snakemq.rpc.Error``, but no private module."""
    for public in classes_of(importlib.import_module(name)):
        home = importlib.import_module(public.__module__)
        assert public.__module__ in PUBLIC_MODULES, f"{public} is at home in a private module"
        assert getattr(home, public.__name__) is public
        assert public.__name__ in home.__all__
