"""The packages of this repository, as ``packages/*/pyproject.toml`` describes them.

There is no other list of them anywhere: whatever works on "all packages" asks here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

#: The index refuses to take a distribution with this classifier: it is not ready.
PRIVATE = "Private :: Do Not Upload"


@dataclass(frozen=True)
class Package:
    """One folder below ``packages/``: one distribution."""

    folder: Path
    name: str
    version: str
    requirements: tuple[str, ...]
    extras: Mapping[str, tuple[str, ...]]
    private: bool
    modules_of_extras: Mapping[str, str]
    """Modules that need an extra of the package, by their names; their submodules do as well."""

    @property
    def source(self) -> Path:
        """The folder that is on ``sys.path`` in an editable installation."""
        return self.folder / "src"

    @property
    def tests(self) -> Path:
        return self.folder / "tests"

    @property
    def wheel(self) -> str:
        """Name of the wheel's file."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def sdist(self) -> str:
        """Name of the source distribution's file."""
        return f"{self.name.replace('-', '_')}-{self.version}.tar.gz"

    def files(self) -> set[str]:
        """What the wheel is to install, as paths relative to ``site-packages``."""
        paths = (path for path in self.source.rglob("*") if path.is_file())
        relative = (path.relative_to(self.source) for path in paths if path.suffix != ".pyc")
        # Hidden folders are caches of tools.
        return {path.as_posix() for path in relative if not any(p[0] == "." for p in path.parts)}

    def modules(self) -> set[str]:
        """Dotted names of its modules."""
        return {
            file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for file in self.files()
            if file.endswith(".py")
        }

    def extra_of(self, module: str) -> str | None:
        """The extra that this module needs."""
        for owner, extra in self.modules_of_extras.items():
            if module == owner or module.startswith(f"{owner}."):
                return extra
        return None

    def with_extras(self) -> str:
        """The requirement that brings all that it can use."""
        return f"{self.name}[{','.join(self.extras)}]" if self.extras else self.name


Packages = Mapping[str, Package]


def discover(root: Path = ROOT) -> Packages:
    """All packages by their names."""
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
    """What these requirements bring along by the declarations of the packages.

    Returns names of packages of this repository, and the requirements that these have of
    distributions from elsewhere (whose own dependencies are not followed).
    """
    names, foreign, _ = _follow(requirements, packages)
    return names, foreign


def importable(requirements: Iterable[str], packages: Packages) -> set[str]:
    """The modules of ours that these requirements make importable."""
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
    """Besides what :func:`needed` returns: packages with their extras, ``None`` is without."""
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
