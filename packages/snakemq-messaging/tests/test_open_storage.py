"""The package that offers a URL's scheme opens the URL, and no other package does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snakemq.queues import MemoryQueuesStorage, open_storage

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make up an installed distribution with one entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution: str, entry_point: str, module: str = "", code: str = "") -> None:
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[snakemq.storage]\n{entry_point}\n")
        if module:
            (tmp_path / f"{module}.py").write_text(code)

    return install


def test_the_url_of_a_storage_in_memory_is_memory() -> None:
    assert type(open_storage("memory:")) is MemoryQueuesStorage
    with pytest.raises(ValueError, match="memory:"):
        open_storage("memory:///x")
    with pytest.raises(TypeError):
        open_storage("memory:", unknown=1)


def test_another_package_is_called_with_the_url_and_the_options(install: Install) -> None:
    install("other_one", "nowhere = not_there:opener")
    code = "from snakemq.queues import MemoryQueuesStorage\n"
    code += "def opener(*args, **kwargs):\n    opener.calls = args, kwargs\n"
    code += "    return MemoryQueuesStorage()\n"
    install("other_two", "shelf = shelf_storage:opener", "shelf_storage", code)
    # What is not asked for is not imported, or nowhere would raise.
    assert isinstance(open_storage("shelf+x://a/b?c", d=1), MemoryQueuesStorage)
    assert sys.modules["shelf_storage"].opener.calls == (("shelf+x://a/b?c",), {"d": 1})
    with pytest.raises(ModuleNotFoundError, match=r"nowhere.*not_there"):
        open_storage("nowhere:")


def test_two_packages_with_one_scheme_are_refused(install: Install) -> None:
    install("other_one", "shelf = one:opener")
    install("other_two", "shelf = two:opener")
    with pytest.raises(ImportError, match=r"other_one \(one:opener\), other_two \(two:opener\)"):
        open_storage("shelf:")


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("sqlite:///queue.db", "sqlite"),
        ("postgresql+psycopg://host/database", "postgresql"),
        ("mariadb://host/database", "mysql"),
        ("mongodb+srv://host/database", "mongo"),
    ],
)
def test_a_missing_package_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snakemq.queues._open._entry_points", lambda **_: [])
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'snakemq\[{extra}\]'"):
        open_storage(url)


@pytest.mark.parametrize("url", ["", "queue.db", "/tmp/queue.db", "://", "SQLite:"])
def test_what_is_not_a_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"like sqlite:///queue\.db"):
        open_storage(url)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'oracle'; there are .*memory, mongodb, mysql"):
        open_storage("oracle://host/database")


def test_opening_a_storage_imports_no_other() -> None:
    code = "import sys; from snakemq.queues import open_storage; open_storage('memory:');"
    code += " assert not [m for m in sys.modules if m.startswith('snakemq.storage.')]"
    subprocess.run([sys.executable, "-c", code], check=True)
