import subprocess
from pathlib import Path

import pytest

from tools import tracked


def test_files_that_a_reader_saved_in_the_clone_are_not_listed(tmp_path: Path) -> None:
    for name in ("ours.py", "removed.py", "pyproject.toml", "notes.md", "saved.py"):
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    names = ["ours.py", "removed.py", "pyproject.toml", "notes.md"]
    subprocess.run(["git", "-C", tmp_path, "add", *names], check=True)
    (tmp_path / "removed.py").unlink()
    assert tracked.python_files(tmp_path) == ["ours.py", "pyproject.toml"]


@pytest.mark.parametrize("path", ["", None], ids=["no Git", "no clone"])
def test_everything_is_listed_where_nothing_is_tracked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str | None
) -> None:
    if path is not None:
        monkeypatch.setenv("PATH", path)
    assert tracked.python_files(tmp_path) == ["."]
