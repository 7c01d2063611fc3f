"""What the pages and workflows for the public say of the packages."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tools.packages import ROOT, discover

PACKAGES = discover()
PUBLISHED = {name for name, package in PACKAGES.items() if not package.private}
HOME = "https://github.com/snakemq/snakemq"
RELEASING = (ROOT / "RELEASING.md").read_text()
WORKFLOW = (ROOT / ".github/workflows/release.yml").read_text()
CHECKS = (ROOT / ".github/workflows/checks.yml").read_text()


@pytest.mark.parametrize(
    "order",
    [
        re.findall(r"^\d\. `([\w-]+)`", RELEASING, re.M),
        re.findall(r"^      - name: (snakemq[\w-]*)$", WORKFLOW, re.M),
    ],
    ids=["RELEASING.md", "release.yml"],
)
def test_a_package_is_released_after_those_that_it_needs(order: list[str]) -> None:
    assert set(order) == PUBLISHED and len(order) == len(PUBLISHED)
    for number, name in enumerate(order):
        package = PACKAGES[name]
        # Extras as well: the user of one must not get an older layer.
        for text in (*package.requirements, *sum(package.extras.values(), ())):
            needed = Requirement(text).name
            if needed in PACKAGES and needed != name:
                assert needed in order[:number], f"{name} needs {needed}"


def test_the_workflow_publishes_what_the_order_names() -> None:
    folders = re.findall(r"packages-dir: (\w+)/", WORKFLOW)
    names = re.findall(r"^      - name: (snakemq[\w-]*)$", WORKFLOW, re.M)
    assert [name.replace("-", "_") for name in names] == folders
    (loop,) = re.findall(r"for package in (.*?); do", WORKFLOW, re.S)
    assert loop.replace("\\\n", " ").split() == folders


def test_merges_need_all_checks_that_the_workflow_makes() -> None:
    (sentence,) = re.findall(r"merges need the checks (.*?), and a\s+review", RELEASING, re.S)
    jobs = set(re.findall(r"^    name: (.+)$", CHECKS, re.M))
    matrix = {name for name in jobs if "${{" in name}  # its names change; the job "Tests" needs it
    assert set(re.findall(r'"([^"]+)"', sentence)) == jobs - matrix
    assert len(matrix) == 1
    assert re.search(r"^    name: Tests\n    needs: tests$", CHECKS, re.M)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_leads_to_its_home(name: str) -> None:
    project = tomllib.loads((PACKAGES[name].folder / "pyproject.toml").read_text())["project"]
    assert project["urls"] == {
        "Homepage": HOME,
        "Documentation": f"{HOME}/tree/main/docs",
        "Changelog": f"{HOME}/blob/main/packages/{name}/CHANGELOG.md",
        "Issues": f"{HOME}/issues",
    }


def test_packages_differ_in_their_topics_only() -> None:
    classifiers = {
        tuple(
            line
            for line in tomllib.loads((package.folder / "pyproject.toml").read_text())["project"][
                "classifiers"
            ]
            if not line.startswith("Topic :: ")
        )
        for package in PACKAGES.values()
    }
    assert len(classifiers) == 1


def test_the_package_says_the_version_of_its_distribution() -> None:
    source = (PACKAGES["snakemq"].source / "snakemq/__init__.py").read_text()
    assert f'__version__ = "{PACKAGES["snakemq"].version}"' in source


def test_the_owners_of_files_own_files_that_are_there() -> None:
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    for pattern, *owners in (line.split() for line in lines if not line.startswith("#")):
        assert pattern == "*" or (ROOT / pattern.strip("/")).exists(), pattern
        assert all(re.fullmatch(r"@snakemq/[a-z]+", owner) for owner in owners)
        teams = {owner.partition("/")[2] for owner in owners}
        assert all(f"`{team}`" in RELEASING for team in teams)


def test_workflows_run_what_everybody_can_run() -> None:
    """Sessions of noxfile.py, and nothing that exists there only."""
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M))
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        for chosen in re.findall(r"dev\.py nox --session ([\w ]+)", workflow.read_text()):
            assert set(chosen.split()) <= sessions, workflow
