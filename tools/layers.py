"""Checks the layer rule: a package imports only what it declares as its dependency.

A sibling may be declared by another sibling (rpc needs messaging, which needs link). A package must
itself declare everything that it imports from elsewhere.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from packaging.requirements import Requirement

from tools.packages import Package, Packages, discover, needed


def violations(packages: Packages) -> Iterator[str]:
    """Yield one line for each import that breaks the rule."""
    owners = {module: package.name for package in packages.values() for module in package.modules()}
    for package in packages.values():
        for place, importer, module in imports(package):
            extra = package.extra_of(importer)
            itself = package.name if extra is None else f"{package.name}[{extra}]"
            siblings, _ = needed([itself], packages)
            foreign = _declared(package, importer)
            owner = _owner(module, owners)
            top = module.partition(".")[0]
            if owner is not None:
                if owner not in siblings:
                    yield f"{place}: {package.name} imports {module}, which is part of {owner}"
            elif (
                top not in sys.stdlib_module_names and DISTRIBUTION_OF.get(top, top) not in foreign
            ):
                yield f"{place}: {package.name} imports {module}, which it does not declare"


def _declared(package: Package, importer: str) -> set[str]:
    """Return the distributions from elsewhere that this module of the package may import."""
    extra = package.extra_of(importer)
    texts = (*package.requirements, *(package.extras[extra] if extra is not None else ()))
    return {Requirement(text).name.lower() for text in texts}


#: The distributions of top-level modules whose name differs from that of their distribution.
DISTRIBUTION_OF = {"bson": "pymongo"}


def _owner(module: str, owners: dict[str, str]) -> str | None:
    # ``from snakemq.link import Link`` is read as an import of snakemq.link.Link.
    while module and module not in owners:
        module = module.rpartition(".")[0]
    return owners.get(module)


def imports(package: Package) -> Iterator[tuple[str, str, str]]:
    """Yield for each import its place, the importing module, and the absolute imported name."""
    for file in sorted(package.source.rglob("*.py")):
        parents = file.relative_to(package.source).parent.parts
        importer = ".".join((*parents, file.stem))
        for node in ast.walk(ast.parse(file.read_text(), str(file))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = parents[: len(parents) + 1 - node.level] if node.level else ()
                prefix = ".".join((*base, node.module) if node.module else base)
                names = [f"{prefix}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                yield f"{file.relative_to(package.folder.parents[1])}:{node.lineno}", importer, name


if __name__ == "__main__":
    sys.exit("\n".join(violations(discover())) or 0)
