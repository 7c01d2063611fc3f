"""Lets the tests of each package import the modules beside them, and shows why servers ended."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests import servers

# pytest's `pythonpath` takes no patterns, and a list of the packages would be a second one.
sys.path.extend(map(str, sorted(Path(__file__).parent.glob("packages/*/tests"))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the log of a database server that has ended by itself with each test that fails."""
    report = yield
    if report.failed:
        report.sections += servers.ended_by_themselves()
    return report
