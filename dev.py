#!/usr/bin/env python3
"""Run the demo or the tests. This needs only Python 3.11 or newer with venv.

    python3 dev.py demo         tells a story: processes talk, get killed, and come back
    python3 dev.py test         checks the style and runs the tests on one Python, without servers
    python3 dev.py test --all   runs everything that CI runs, on every Python that is installed
    python3 dev.py nox --list   runs nox with any arguments

The demo installs nothing. The other commands install nox into .nox/dev, once. `test` passes its
arguments on to nox: `python3 dev.py test -- -k reconnect` runs some of the tests.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from tools import pythons

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".nox" / "dev"
NOX = "nox[uv]>=2025.2.9"


def main() -> None:
    """Run the command. On a Python that is too old, look for a newer one first."""
    command, arguments = "".join(sys.argv[1:2]), sys.argv[2:]
    if command == "demo":
        choose_python()
        sources = [str(folder) for folder in sorted(ROOT.glob("packages/*/src"))]
        os.environ["PYTHONPATH"] = os.pathsep.join(sources)
        become(sys.executable, str(ROOT / "examples" / "demo.py"), *arguments)
    elif command == "test" and arguments[:1] != ["--all"]:
        choose_python("venv", "ensurepip")
        os.environ.setdefault("SIMULATION_RUNS", "200")  # a tenth of them; all take minutes
        os.environ["EVERY_SUITE"] = "1"  # whichever Python this is
        options = arguments or ["--", "-m", "not server"]
        run_nox("--session", "lint", f"tests-{version()}", *options)
    elif command in ("test", "nox"):
        choose_python("venv", "ensurepip")
        run_nox(*(arguments[1:] if command == "test" else arguments))
    else:
        sys.exit(__doc__)


def choose_python(*modules: str) -> None:
    """Continue in a Python that is supported and has these modules: this one, or the newest."""
    if can_be_used(sys.executable, modules):
        return
    for other in reversed(pythons.installed()):
        python = f"python{other}"
        if can_be_used(python, modules):
            print(f"Using {python}, because this Python will not do", file=sys.stderr, flush=True)
            become(python, *sys.argv)
    if not pythons.is_supported(sys.executable):
        sys.exit(f"Python {version()} is too old, and the PATH has no Python from 3.11 up.")
    sys.exit(
        f"{sys.executable} cannot make virtual environments: it lacks {' or '.join(modules)}.\n"
        f"On Debian and Ubuntu: apt-get install python{version()}-venv"
    )


def can_be_used(python: str, modules: tuple[str, ...]) -> bool:
    code = "".join(f"import {module}\n" for module in modules)
    return (
        pythons.is_supported(python)
        and subprocess.run([python, "-c", code], capture_output=True).returncode == 0
    )


def run_nox(*arguments: str) -> NoReturn:
    python = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp, made_of = ENVIRONMENT / "made-of", f"{sys.executable} {sys.version}\n{NOX}\n"
    if not stamp.exists() or stamp.read_text() != made_of:
        print(f"Installing nox into {ENVIRONMENT}", file=sys.stderr, flush=True)
        run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
        run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NOX)
        stamp.write_text(made_of)
    # pyenv sets this to the Python that runs here; noxfile.py would not see the others.
    os.environ.pop("PYENV_VERSION", None)
    # noxfile.py looks for Pythons on the PATH, which may not have this one.
    folders = (os.environ.get("PATH", os.defpath), str(Path(sys.executable).resolve().parent))
    os.environ["PATH"] = os.pathsep.join(folders)
    if has_certificates():
        # uv has its own list, which lacks, for example, the authority of a company.
        os.environ.setdefault("UV_SYSTEM_CERTS", "true")
    become(str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *arguments)


def has_certificates() -> bool:
    """Tell whether this machine has certificates of authorities; a bare container has none."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or (paths.capath is not None and any(os.scandir(paths.capath)))


def run(*command: str) -> None:
    if subprocess.run(command).returncode:
        sys.exit(f"failed: {' '.join(command)}")


def become(*command: str) -> NoReturn:
    """Replace this process by the command, so that the command gets Ctrl-C and all signals."""
    if os.name == "nt":  # there, the shell would not wait for the command
        sys.exit(subprocess.run(command).returncode)
    os.execvp(command[0], command)


def version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


if __name__ == "__main__":
    main()
