"""The page about performance speaks of the suite that there is."""

import re

from benchmarks.suite.__main__ import PAGE
from benchmarks.suite.harness.results import load
from benchmarks.suite.report.tables import page
from benchmarks.suite.workloads import WORKLOADS, named

from .pages import DOCS, ROOT
from .tables import rows

TEXT = (DOCS / "performance.md").read_text()
STORED = PAGE / "results.json"


def test_the_table_has_every_workload() -> None:
    names = [name for cells in rows(TEXT, "workload") for name in cells[0].split(", ")]
    assert names == list(WORKLOADS)


def test_the_commands_exist() -> None:
    chosen = re.findall(
        r"^    (nox -s bench -- |python -m benchmarks\.suite )([^#\n]*)", TEXT, re.M
    )
    assert chosen
    for _, arguments in chosen:
        for word in arguments.split(" --")[0].split():
            assert word in ("short", "page") or named(word), word
    assert "\ndef bench(" in (ROOT / "noxfile.py").read_text()


def test_the_results_were_made_of_the_stored_figures() -> None:
    """``python -m benchmarks.suite page --from docs/performance/results.json`` makes them."""
    pictures = [path.name for path in sorted(PAGE.glob("*.svg"), reverse=True)]
    assert (PAGE / "results.md").read_text() == page(load(STORED), pictures)


def test_the_page_names_the_workloads_that_the_results_do_not_have() -> None:
    measured = {workload.name for workload, _ in load(STORED).cases()}
    assert measured, "nothing is left of the run"
    said = re.search(r"They do not have (.*?), which are newer", TEXT)
    newer = re.findall(r"\w+\d\w*", said[1]) if said else []
    assert set(WORKLOADS) - measured == set(newer)
