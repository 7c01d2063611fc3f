"""``pip install .`` in a clone: the project in the root. ``nox -s clone`` does it with pip."""

from __future__ import annotations

import tomllib

from packaging.requirements import Requirement

from tools import clone
from tools.packages import PRIVATE, ROOT, discover, needed

PACKAGES = discover()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names_of(requirements: list[str]) -> set[str]:
    """The names of our packages among them, which must come from their folders."""
    names = set()
    for requirement in map(Requirement, requirements):
        if requirement.name in PACKAGES:
            assert requirement.url == PACKAGES[requirement.name].folder.as_uri()
            names.add(requirement.name)
        else:
            assert requirement.url is None
    return names


def test_project_is_not_published() -> None:
    assert PRIVATE in PROJECT["classifiers"]
    assert PROJECT["name"] not in PACKAGES


def test_packages_that_need_nothing_from_elsewhere_are_installed() -> None:
    names = names_of(clone.dependencies())
    assert names == {name for name in PACKAGES if not needed([name], PACKAGES)[1]}
    assert names > {"snakemq", "snakemq-peer", "snakemq-rpc"}


def test_extras_are_those_of_the_meta_package() -> None:
    extras = clone.extras()
    assert {*extras} == {*PACKAGES["snakemq"].extras}
    assert names_of(extras["mongo"]) - names_of(extras["rpc"]) == {"snakemq-storage-mongo"}
    assert names_of(extras["all"]) == {*PACKAGES}
    assert "snakemq-rpc" in names_of(extras["rpc"])
