import subprocess
from pathlib import Path

import pytest

from tools import tracked


def test_scripts_that_a_reader_saved_in_the_clone_are_found(tmp_path: Path) -> None:
    for name in ("ours.py", "saved.py", "notes.md", "ignored.py"):
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "ours.py"], check=True)
    assert tracked.scripts_of_the_reader(tmp_path) == [str(tmp_path / "saved.py")]
    assert tracked.files("*.py", root=tmp_path) == ["ours.py"]


@pytest.mark.parametrize("path", ["", None], ids=["no Git", "no clone"])
def test_nothing_is_found_where_nothing_is_tracked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str | None
) -> None:
    if path is not None:
        monkeypatch.setenv("PATH", path)
    (tmp_path / "saved.py").touch()
    assert tracked.scripts_of_the_reader(tmp_path) == []
