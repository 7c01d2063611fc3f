import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.packages import discover

PACKAGES = discover()
EXAMPLES = [
    pytest.param(code, id=f"{name}-{number}")
    for name, package in PACKAGES.items()
    for number, code in enumerate(
        re.findall(
            r"^```python\n(.*?)^```", (package.folder / "README.md").read_text(), re.M | re.S
        )
    )
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_example_of_a_readme_runs(code: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_every_published_package_has_an_example() -> None:
    published = {name for name, package in PACKAGES.items() if not package.private}
    assert {str(example.id).rpartition("-")[0] for example in EXAMPLES} == published


def test_the_way_back_to_1_6_names_every_package() -> None:
    text = (PACKAGES["snakemq"].folder / "README.md").read_text()
    (command,) = re.findall(r"pip uninstall ([^`]+)`", text)
    published = {name for name, package in PACKAGES.items() if not package.private}
    assert set(command.split()) == published
