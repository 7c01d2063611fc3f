"""A layer installed beside snakeMQ 1.6 says so, instead of mixing the two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import snakemq.link

SOURCE = Path(snakemq.link.__file__).parents[1]


def import_link(namespace: Path) -> subprocess.CompletedProcess[str]:
    """Run ``import snakemq.link`` where ``snakemq`` is found in ``namespace`` first."""
    script = (
        "import sys; "
        f"sys.path.insert(0, {str(namespace)!r}); "
        "import snakemq; "
        f"snakemq.__path__.append({str(SOURCE)!r}); "
        "import snakemq.link; "
        "print(snakemq.link.Link.__module__)"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60
    )


def make_package(folder: Path, text: str) -> Path:
    (folder / "snakemq").mkdir()
    (folder / "snakemq" / "__init__.py").write_text(text)
    return folder


def test_1_6_beside_it_is_an_import_error_that_says_what_to_do(tmp_path: Path) -> None:
    outcome = import_link(make_package(tmp_path, '__version__ = "1.6"\n'))
    assert outcome.returncode == 1
    assert "ImportError" in outcome.stderr
    assert "pip install -U snakemq" in outcome.stderr


def test_our_own_package_is_welcome(tmp_path: Path) -> None:
    outcome = import_link(make_package(tmp_path, "SNAKEMQ_LAYERS = 2\n"))
    assert outcome.stdout == "snakemq.link\n", outcome.stderr


def test_no_package_at_all_is_welcome(tmp_path: Path) -> None:
    """The layer may be alone, in a namespace without __init__.py."""
    (tmp_path / "snakemq").mkdir()
    script = (
        "import sys, types; "
        "namespace = types.ModuleType('snakemq'); "
        f"namespace.__path__ = [{str(SOURCE)!r}]; "
        "sys.modules['snakemq'] = namespace; "
        "import snakemq.link, snakemq.packeter, snakemq.throttle; "
        "print('fine')"
    )
    outcome = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert outcome.stdout == "fine\n", outcome.stderr
