"""Checks what must hold for all built distributions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from tools.packages import ROOT, Package, Packages, discover, needed

#: The only distribution that may own paths of snakeMQ 1.6: pip removes 1.6 after it has installed
#: the dependencies of its successor, and deletes every file that has a path of 1.6.
META = "snakemq"


def problems(dist: Path, packages: Packages) -> Iterator[str]:
    """Yield one line for each thing that is wrong in the folder of built distributions."""
    expected = {name for package in packages.values() for name in (package.wheel, package.sdist)}
    actual = {path.name for path in dist.iterdir()}
    yield from (f"missing: {name}" for name in sorted(expected - actual))
    yield from (f"unexpected: {name}" for name in sorted(actual - expected))

    shipped_by: dict[str, str] = {}
    for package in packages.values():
        if package.wheel not in actual:
            continue
        with ZipFile(dist / package.wheel) as wheel:
            for problem in _wheel_problems(wheel, package):
                yield f"{package.wheel}: {problem}"
            for path in _payload(wheel):
                if path in shipped_by:
                    yield f"{package.wheel}: {path} is also in {shipped_by[path]}"
                shipped_by[path] = package.wheel

    for package in packages.values():
        extras = ",".join(package.extras)
        names, _ = needed([f"{package.name}[{extras}]"], packages)
        for name in sorted(names - {package.name}):
            if packages[name].private and not package.private:
                yield f"{package.name} needs {name}, which is not to be published"


def _wheel_problems(wheel: ZipFile, package: Package) -> Iterator[str]:
    payload = _payload(wheel)
    files = package.files()
    yield from (f"{path} is not in it" for path in sorted(files - payload))
    yield from (f"{path} should not be in it" for path in sorted(payload - files))
    if package.name != META:
        for path in sorted(payload & paths_of_1_6()):
            yield f"{path} is a path of snakeMQ 1.6: an upgrade from it would delete the file"

    folders = {PurePosixPath(path).parent for path in payload if path.endswith("/__init__.py")}
    for folder in sorted(folders):
        if folder.parent not in folders and f"{folder}/py.typed" not in payload:
            yield f"{folder}/py.typed is not in it"

    info = f"{package.name.replace('-', '_')}-{package.version}.dist-info"
    metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
    if metadata["License-Expression"] != "MIT" or metadata["Requires-Python"] != ">=3.11":
        yield "the metadata must say License-Expression: MIT and Requires-Python: >=3.11"
    licence = f"{info}/licenses/LICENSE"
    if licence not in wheel.namelist() or wheel.read(licence) != (ROOT / "LICENSE").read_bytes():
        yield "the text of LICENSE is not in it"


def _payload(wheel: ZipFile) -> set[str]:
    return {path for path in wheel.namelist() if ".dist-info/" not in path}


def paths_of_1_6() -> set[str]:
    """Return every path that snakeMQ 1.6 installs."""
    lines = (ROOT / "tests/packaging/paths_of_1.6.txt").read_text().splitlines()
    return {line for line in lines if not line.startswith("#")}


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]), discover())) or 0)
