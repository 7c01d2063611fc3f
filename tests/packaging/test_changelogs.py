from __future__ import annotations

import pytest

from tools.changelogs import problems
from tools.packages import discover

from .conftest import MakePackages, Spec

GOOD = """\
# Changelog of link

## 2.0.0 (unreleased)

- A change that no kind fits.

Fixed:

- Something that takes
  two lines.

## 1.9.0 (2026-01-31)

- The first one.
"""


def check(make_packages: MakePackages, text: str, tag: str | None = None) -> list[str]:
    """The problems of a package of version 2.0.0 with this changelog."""
    packages = make_packages({"link": Spec()})
    (packages["link"].folder / "CHANGELOG.md").write_text(text)
    place = "packages/link/CHANGELOG.md: "
    return [line.removeprefix(place) for line in problems(packages, tag)]


def test_our_changelogs_have_no_problems() -> None:
    assert list(problems(discover())) == []


def test_a_good_one_has_no_problems(make_packages: MakePackages) -> None:
    assert check(make_packages, GOOD) == []


def test_each_package_has_one(make_packages: MakePackages) -> None:
    packages = make_packages({"link": Spec()})
    assert list(problems(packages)) == ["packages/link/CHANGELOG.md: missing"]


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("of link", "of rpc", "the first line must be '# Changelog of link'"),
        ("2.0.0", "2.0.1", "the first section must be that of 2.0.0"),
        ("1.9.0", "2.1.0", "2.1.0 must not come after 2.0.0"),
        ("1.9.0", "2.0.0", "2.0.0 must not come after 2.0.0"),
        ("2026-01-31", "unreleased", None),
        ("unreleased", "2026-02-01", None),
        ("2026-01-31", "31.1.2026", "(31.1.2026) is neither a date"),
        ("- The first one.\n", "", "nothing stands below '## 1.9.0 (2026-01-31)'"),
        ("- Something that takes\n  two lines.\n", "", "nothing stands below 'Fixed:'"),
        ("fits.\n\nFixed", "fits.\nFixed", "'Fixed:' needs an empty line before it"),
        ("- Something that takes", "- A change that no kind fits.", "stands twice in a section"),
        (
            "- The first one.",
            "The first one.",
            "'The first one.' is neither an entry nor a heading",
        ),
        ("## 1.9.0 (2026-01-31)", "## 1.9.0", "'## 1.9.0' is not a heading such as"),
    ],
)
def test_what_is_wrong_is_said(
    make_packages: MakePackages, good: str, bad: str, problem: str | None
) -> None:
    assert GOOD.count(good) == 1
    found = check(make_packages, GOOD.replace(good, bad))
    if problem is None:
        assert found == []
    else:
        assert any(problem in line for line in found), found


def test_an_older_version_is_released_before_a_newer_one(make_packages: MakePackages) -> None:
    text = GOOD.replace("2026-01-31", "unreleased").replace(
        "2.0.0 (unreleased)", "2.0.0 (2026-02-01)"
    )
    assert check(make_packages, text) == ["2.0.0 has a date, so 1.9.0 must have one"]


def test_a_tag_needs_its_version_and_a_date(make_packages: MakePackages) -> None:
    assert check(make_packages, GOOD, "v2.0.1") == [
        "the version is 2.0.0, and the tag is v2.0.1",
        "2.0.0 must have a date to be released",
    ]


def test_a_release_is_ready(make_packages: MakePackages) -> None:
    assert check(make_packages, GOOD.replace("unreleased", "2026-02-01"), "v2.0.0") == []
