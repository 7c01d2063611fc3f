from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tools.packages import PRIVATE, Packages, discover

MakePackages = Callable[[Mapping[str, "Spec"]], Packages]


class Spec:
    """A package of a repository that exists for one test."""

    def __init__(
        self,
        files: Mapping[str, str] | None = None,
        *,
        needs: Sequence[str] = (),
        extras: Mapping[str, Sequence[str]] | None = None,
        private: bool = False,
        modules_of_extras: Mapping[str, str] | None = None,
    ) -> None:
        self.files = files or {}
        self.needs = list(needs)
        self.extras = {extra: list(texts) for extra, texts in (extras or {}).items()}
        self.modules_of_extras = modules_of_extras or {}
        self.classifiers = [PRIVATE] if private else []


@pytest.fixture
def make_packages(tmp_path: Path) -> MakePackages:
    def make(specs: Mapping[str, Spec]) -> Packages:
        for name, spec in specs.items():
            folder = tmp_path / "packages" / name
            folder.mkdir(parents=True)
            for path, text in spec.files.items():
                file = folder / "src" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            lines = [
                "[project]",
                f'name = "{name}"',
                'version = "2.0.0"',
                f"dependencies = {spec.needs}",
                f"classifiers = {spec.classifiers}",
                "[project.optional-dependencies]",
                *(f"{extra} = {texts}" for extra, texts in spec.extras.items()),
                "[tool.snakemq.modules-of-extras]",
                *(f'"{name}" = "{extra}"' for name, extra in spec.modules_of_extras.items()),
            ]
            (folder / "pyproject.toml").write_text("\n".join(lines))
        return discover(tmp_path)

    return make
