"""Describes the packages of this repository, from ``packages/*/pyproject.toml``.

There is no other list of the packages: every tool that works on all of them asks this module.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

#: PyPI refuses a distribution with this classifier, which marks one that is not ready.
PRIVATE = "Private :: Do Not Upload"


@dataclass(frozen=True)
class Package:
    """A folder below ``packages/``, which is one distribution."""

    folder: Path
    name: str
    version: str
    requirements: tuple[str, ...]
    extras: Mapping[str, tuple[str, ...]]
    private: bool
    modules_of_extras: Mapping[str, str]
    """The extra that a module and its submodules need, by the module's name."""

    @property
    def source(self) -> Path:
        """The folder that an editable installation puts on ``sys.path``."""
        return self.folder / "src"

    @property
    def tests(self) -> Path:
        return self.folder / "tests"

    @property
    def wheel(self) -> str:
        """The file name of the wheel."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def sdist(self) -> str:
        """The file name of the source distribution."""
        return f"{self.name.replace('-', '_')}-{self.version}.tar.gz"

    def files(self) -> set[str]:
        """Return the files that the wheel must install, as paths relative to ``site-packages``."""
        paths = (path for path in self.source.rglob("*") if path.is_file())
        relative = (path.relative_to(self.source) for path in paths if path.suffix != ".pyc")
        # Hidden folders are caches of tools, not part of the package.
        return {path.as_posix() for path in relative if not any(p[0] == "." for p in path.parts)}

    def modules(self) -> set[str]:
        """Return the dotted names of its modules."""
        return {
            file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for file in self.files()
            if file.endswith(".py")
        }

    def extra_of(self, module: str) -> str | None:
        """Return the extra that this module needs, or None."""
        for owner, extra in self.modules_of_extras.items():
            if module == owner or module.startswith(f"{owner}."):
                return extra
        return None

    def with_extras(self) -> str:
        """Return the requirement that installs the package with all of its extras."""
        return f"{self.name}[{','.join(self.extras)}]" if self.extras else self.name


Packages = Mapping[str, Package]


def discover(root: Path = ROOT) -> Packages:
    """Return all packages, by name."""
    found = {}
    for file in sorted(root.glob("packages/*/pyproject.toml")):
        content = tomllib.loads(file.read_text())
        project, tool = content["project"], content.get("tool", {}).get("snakemq", {})
        package = Package(
            folder=file.parent,
            name=canonicalize_name(project["name"]),
            version=project["version"],
            requirements=tuple(project["dependencies"]),
            extras={k: tuple(v) for k, v in project.get("optional-dependencies", {}).items()},
            private=PRIVATE in project["classifiers"],
            modules_of_extras=tool.get("modules-of-extras", {}),
        )
        found[package.name] = package
    return found


def needed(requirements: Iterable[str], packages: Packages) -> tuple[set[str], set[str]]:
    """Follow these requirements through the declarations of the packages.

    Returns the names of all packages of this repository that they need, and the requirements for
    distributions from elsewhere (whose own dependencies are not followed).
    """
    names, foreign, _ = _follow(requirements, packages)
    return names, foreign


def importable(requirements: Iterable[str], packages: Packages) -> set[str]:
    """Return our modules that these requirements make importable."""
    names, _, extras = _follow(requirements, packages)
    return {
        module
        for name in names
        for module in packages[name].modules()
        if (name, packages[name].extra_of(module)) in extras
    }


def _follow(
    requirements: Iterable[str], packages: Packages
) -> tuple[set[str], set[str], set[tuple[str, str | None]]]:
    """Do what :func:`needed` does, and also return the packages with each extra (None: without)."""
    names: set[str] = set()
    foreign: set[str] = set()
    seen: set[tuple[str, str | None]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        package = packages.get(name)
        if package is None:
            foreign.add(str(requirement))
            continue
        names.add(name)
        for extra in (None, *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                more = package.requirements if extra is None else package.extras[extra]
                todo.extend(Requirement(text) for text in more)
    return names, foreign, seen
