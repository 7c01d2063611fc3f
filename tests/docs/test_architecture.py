"""The map of the architecture shows what is there, and all wings."""

import re
from pathlib import Path

import pytest

from snakemq.messaging._wire._phases import Phase
from tools.packages import discover

from .pages import DOCS
from .tables import rows

TEXT = (DOCS / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`([\w.-]+/[\w./-]*)`", TEXT)) - {"src/snakemq"})
SOURCES = [package.source / "snakemq" for package in discover().values()]
STEPS = rows(TEXT, "step")


def found(path: str) -> list[Path]:
    """A path of the page in each package that has it."""
    return [source / path for source in SOURCES if (source / path).exists()]


def is_module_or_wing(folder: Path) -> bool:
    return (folder / "__init__.py").exists() and "testing" not in folder.parts


FOLDERS = sorted(
    f"{folder.relative_to(source).as_posix()}/"
    for source in SOURCES
    for folder in source.rglob("*")
    if is_module_or_wing(folder) and folder.relative_to(source).as_posix() != "storage"
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_to_a_file_or_a_folder(path: str) -> None:
    assert found(path) or (DOCS.parent / path).exists()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_module_or_wing_is_on_the_map(folder: str) -> None:
    assert f"`{folder}`" in TEXT


def test_each_suite_of_the_tests_is_on_the_map() -> None:
    suites = [folder.parent.name for folder in (DOCS.parent / "tests").glob("*/__init__.py")]
    assert suites
    assert [name for name in suites if f"`tests/{name}/`" not in TEXT] == []


def test_the_page_has_all_phases_of_a_connection() -> None:
    assert [phase.value for phase in Phase if phase.value not in TEXT] == []


def test_modules_are_in_the_packages_that_the_table_says() -> None:
    modules = rows(TEXT, "module")
    assert modules
    for names, package, _ in modules:
        for name in re.findall(r"`([^`]+)`", names):
            assert (discover()[package].source / "snakemq" / name).is_dir(), name


@pytest.mark.parametrize(("step", "file"), [(step, file) for step, file, _ in STEPS])
def test_a_step_of_a_journey_is_in_its_file(step: str, file: str) -> None:
    (path,) = found(file.strip("`"))
    source = path.read_text()
    for name in re.findall(r"`([^`]+)`", step):
        *owner, called = name.removesuffix("()").split(".")
        if owner:
            assert re.search(rf"^class {owner[0]}\b", source, re.MULTILINE), name
        assert re.search(rf"\b{called}\b", source), name
