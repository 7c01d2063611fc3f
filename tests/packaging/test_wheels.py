from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools.packages import ROOT, Packages
from tools.wheels import paths_of_1_6, problems

from .conftest import MakePackages, Spec

METADATA = "License-Expression: MIT\nRequires-Python: >=3.11\n"
Build = Callable[..., list[str]]


@pytest.fixture
def packages(make_packages: MakePackages) -> Packages:
    return make_packages(
        {
            "snakemq": Spec({"snakemq/__init__.py": "", "snakemq/py.typed": ""}),
            "snakemq-link": Spec({"snakemq/link/__init__.py": "", "snakemq/link/py.typed": ""}),
        }
    )


@pytest.fixture
def check(packages: Packages, tmp_path: Path) -> Build:
    """Puts together what a build would, and says what is wrong with it."""

    def check(
        *, more: str = "", less: str = "", metadata: str = METADATA, licence: bool = True
    ) -> list[str]:
        dist = tmp_path / "dist"
        dist.mkdir()
        for name, package in packages.items():
            (dist / package.sdist).touch()
            info = package.wheel.removesuffix("-py3-none-any.whl") + ".dist-info"
            with ZipFile(dist / package.wheel, "w") as wheel:
                for path in package.files() - {less}:
                    wheel.writestr(path, "")
                if more and name == "snakemq-link":
                    wheel.writestr(more, "")
                wheel.writestr(f"{info}/METADATA", metadata)
                if licence:
                    wheel.write(ROOT / "LICENSE", f"{info}/licenses/LICENSE")
        prefix = f"{packages['snakemq-link'].wheel}: "
        return [line.removeprefix(prefix) for line in problems(dist, packages)]

    return check


def test_a_good_build_has_no_problems(check: Build) -> None:
    assert check() == []


def test_the_folder_holds_exactly_the_expected_files(
    check: Build, packages: Packages, tmp_path: Path
) -> None:
    check()
    dist = tmp_path / "dist"
    sdist = packages["snakemq-link"].sdist
    (dist / sdist).rename(dist / "snakemq_link-1.9.0.tar.gz")
    assert list(problems(dist, packages)) == [
        f"missing: {sdist}",
        "unexpected: snakemq_link-1.9.0.tar.gz",
    ]


def test_a_file_is_forgotten(check: Build) -> None:
    assert check(less="snakemq/link/__init__.py") == ["snakemq/link/__init__.py is not in it"]


def test_a_file_is_too_many(check: Build) -> None:
    assert check(more="tests_of_link.py") == ["tests_of_link.py should not be in it"]


def test_a_layer_has_a_path_of_1_6(check: Build) -> None:
    assert "snakemq/link.py is a path of snakeMQ 1.6: an upgrade from it would delete the file" in (
        check(more="snakemq/link.py")
    )


def test_two_wheels_have_the_same_file(check: Build, packages: Packages) -> None:
    assert f"snakemq/py.typed is also in {packages['snakemq'].wheel}" in (
        check(more="snakemq/py.typed")
    )


def test_a_portion_has_no_py_typed(check: Build) -> None:
    assert "snakemq/link/py.typed is not in it" in check(less="snakemq/link/py.typed")


def test_the_licence_is_not_there(check: Build) -> None:
    assert "the text of LICENSE is not in it" in check(licence=False)


def test_the_metadata_says_something_else(check: Build) -> None:
    assert any("Requires-Python" in line for line in check(metadata="Requires-Python: >=3.8\n"))


def test_nothing_published_needs_what_is_not(make_packages: MakePackages, tmp_path: Path) -> None:
    packages = make_packages(
        {
            "snakemq": Spec(extras={"mongo": ["snakemq-mongo"]}),
            "snakemq-mongo": Spec(private=True),
        }
    )
    assert "snakemq needs snakemq-mongo, which is not to be published" in list(
        problems(tmp_path, packages)
    )


def test_the_paths_of_1_6_are_those_of_its_record() -> None:
    assert {"snakemq/__init__.py", "snakemq/link.py", "tests/__init__.py"} <= paths_of_1_6()
