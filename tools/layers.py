"""The layer rule: a package imports only what it declares as its dependency.

Siblings may be imported through others (rpc needs messaging, which needs link); what comes from
elsewhere must be declared by the package itself.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from packaging.requirements import Requirement

from tools.packages import Package, Packages, discover, needed


def violations(packages: Packages) -> Iterator[str]:
    """One line for each import that breaks the rule."""
    owners = {module: package.name for package in packages.values() for module in package.modules()}
    for package in packages.values():
        siblings, _ = needed([package.name], packages)
        for place, importer, module in imports(package):
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
    """What comes from elsewhere and may be imported by that module of the package."""
    extra = package.extra_of(importer)
    texts = (*package.requirements, *(package.extras[extra] if extra is not None else ()))
    return {Requirement(text).name.lower() for text in texts}


#: Where the name of a distribution is not that of what it lets import.
DISTRIBUTION_OF = {"bson": "pymongo"}


def _owner(module: str, owners: dict[str, str]) -> str | None:
    # ``from snakemq.link import Link`` is read as an import of snakemq.link.Link.
    while module and module not in owners:
        module = module.rpartition(".")[0]
    return owners.get(module)


def imports(package: Package) -> Iterator[tuple[str, str, str]]:
    """Where something is imported, the module that does it, and the absolute name."""
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
