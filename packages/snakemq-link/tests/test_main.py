"""``python -m snakemq`` in environments that have only some of the packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import snakemq.link
from snakemq import __main__ as report

NAMESPACE = Path(snakemq.link.__file__).parents[1]


class Environment:
    """A folder of installed distributions, beside the standard library."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "snakemq").mkdir()
        shutil.copy(str(report.__file__), folder / "snakemq")

    def install(self, name: str, *lines: str, storages: str = "") -> None:
        info = self.folder / f"{name.replace('-', '_')}-2.1.0.dist-info"
        info.mkdir()
        metadata = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 2.1.0", *lines]
        (info / "METADATA").write_text("\n".join(metadata) + "\n")
        if storages:
            (info / "entry_points.txt").write_text(f"[snakemq.storage]\n{storages}\n")

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run it without what is installed where the tests run."""
        command = [sys.executable, "-S", "-m", "snakemq"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, cwd=self.folder
        )

    def report(self) -> dict[str, dict[str, str]]:
        """What it prints, by section and name."""
        done = self.run()
        assert done.stderr == ""
        assert done.returncode == 0
        section: dict[str, str] = {}
        sections: dict[str, dict[str, str]] = {}
        for line in done.stdout.splitlines():
            if line.startswith(" "):
                name, _, text = line.strip().partition("  ")
                section[name] = text.strip()
            else:
                section = sections[line] = {}
        return sections


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    environment = Environment(tmp_path)
    environment.install("snakemq-link")
    return environment


META = (
    "Provides-Extra: rpc",
    "Provides-Extra: sql",
    "Provides-Extra: all",
    "Requires-Dist: snakemq-link<3,>=2.1.0",
    "Requires-Dist: snakemq-rpc<3,>=2.1.0; extra == 'rpc'",
    "Requires-Dist: snakemq-storage-sql[mysql]<3,>=2.1.0; extra == 'sql'",
    "Requires-Dist: snakemq[rpc,sql]; extra == 'all'",
)
SQL = (
    "Provides-Extra: mysql",
    "Requires-Dist: snakemq-link",
    'Requires-Dist: PyMySQL<2,>=1.1; extra == "mysql"',
)


def test_link_alone_says_what_it_is(environment: Environment) -> None:
    report = environment.report()
    assert report["packages"] == {"snakemq-link": "2.1.0"}
    assert "CPython" in report["Python"] or "PyPy" in report["Python"]
    assert "TLS" in report["Python"]
    assert "extras" not in report
    assert "storages" not in report


def test_extra_says_what_it_has_brought_and_what_it_lacks(environment: Environment) -> None:
    environment.install("snakemq", *META)
    environment.install("snakemq-storage-sql", *SQL)
    report = environment.report()
    assert report["extras"] == {
        "snakemq[rpc]": "needs snakemq-rpc: pip install 'snakemq[rpc]'",
        "snakemq[sql]": "needs pymysql: pip install 'snakemq[sql]'",
        "snakemq-storage-sql[mysql]": "needs pymysql: pip install 'snakemq-storage-sql[mysql]'",
    }
    environment.install("PyMySQL")
    environment.install("snakemq-rpc")
    report = environment.report()
    assert report["extras"] == {
        "snakemq[rpc]": "snakemq-rpc 2.1.0",
        "snakemq[sql]": "snakemq-storage-sql 2.1.0, pymysql 2.1.0",
        "snakemq-storage-sql[mysql]": "pymysql 2.1.0",
    }


def test_storages_say_whether_their_driver_is_there(environment: Environment) -> None:
    schemes = "sqlite = a:b\nmysql = a:b\nmariadb = a:b"
    environment.install("snakemq-storage-sql", *SQL, storages=schemes)
    storages = environment.report()["storages"]
    lack = "needs pymysql: pip install 'snakemq-storage-sql[mysql]'"
    assert storages["mysql:"] == storages["mariadb:"] == lack
    assert storages["sqlite:"].startswith("snakemq-storage-sql, SQLite 3.")
    environment.install("PyMySQL")
    storages = environment.report()["storages"]
    assert storages["mysql:"] == storages["mariadb:"] == "snakemq-storage-sql"


def test_rest_of_a_broken_installation_is_left_out(environment: Environment) -> None:
    (environment.folder / "snakemq_rpc-2.1.0.dist-info").mkdir()
    assert environment.report()["packages"] == {"snakemq-link": "2.1.0"}


def test_1_6_beside_the_layers_is_an_error(environment: Environment) -> None:
    (environment.folder / "snakemq" / "__init__.py").touch()
    done = environment.run()
    assert done.returncode == 1
    assert "run pip install -U snakemq" in done.stdout


def test_report_imports_no_layer() -> None:
    code = (
        "import runpy, sys\n"
        "try: runpy.run_module('snakemq', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('snakemq.')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
