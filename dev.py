#!/usr/bin/env python3
"""Run the demo or the tests. This needs Python 3.11 or newer with venv, and no step before it.

    python3 dev.py demo         tells a story: processes talk, are killed, and come back
    python3 dev.py test         checks the style and runs the tests on one Python, without servers
    python3 dev.py test --all   runs all that CI runs, on every Python that is installed
    python3 dev.py nox --list   runs nox with any arguments

The demo installs nothing. The others install nox into .nox/dev, once. `test` passes arguments on to
nox: `python3 dev.py test -- -k reconnect` runs some of the tests.
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
    """Run the command. This also runs on older Pythons, to look for one that is new enough."""
    command, arguments = "".join(sys.argv[1:2]), sys.argv[2:]
    if command == "demo":
        choose_python()
        sources = [str(folder) for folder in sorted(ROOT.glob("packages/*/src"))]
        os.environ["PYTHONPATH"] = os.pathsep.join(sources)
        become(sys.executable, str(ROOT / "examples" / "demo.py"), *arguments)
    elif command == "test" and arguments[:1] != ["--all"]:
        choose_python("venv", "ensurepip")
        os.environ.setdefault("SIMULATION_RUNS", "200")  # a tenth of all, which take minutes
        options = arguments or ["--", "-m", "not server"]
        run_nox("--session", "lint", f"tests-{version()}", *options)
    elif command in ("test", "nox"):
        choose_python("venv", "ensurepip")
        run_nox(*(arguments[1:] if command == "test" else arguments))
    else:
        sys.exit(__doc__)


def choose_python(*modules: str) -> None:
    """Go on in a Python that is supported and has these modules: this one, or else the newest."""
    if can_be_used(sys.executable, modules):
        return
    for other in reversed(pythons.installed()):
        python = f"python{other}"
        if can_be_used(python, modules):
            print(f"Using {python}, as this Python cannot be used", file=sys.stderr, flush=True)
            become(python, *sys.argv)
    if not pythons.is_supported(sys.executable):
        sys.exit(f"Python {version()} is too old, and the PATH has none from 3.11 up.")
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
    # pyenv says by this which Python it runs here, and noxfile.py would not see the others.
    os.environ.pop("PYENV_VERSION", None)
    # noxfile.py looks for Pythons on the PATH, where this one need not be.
    folders = (os.environ.get("PATH", os.defpath), str(Path(sys.executable).resolve().parent))
    os.environ["PATH"] = os.pathsep.join(folders)
    if has_certificates():
        # uv has a list of its own, which lacks the authority of a company, for example.
        os.environ.setdefault("UV_SYSTEM_CERTS", "true")
    become(str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *arguments)


def has_certificates() -> bool:
    """Whether this machine says which authorities it trusts; a bare container does not."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or (paths.capath is not None and any(os.scandir(paths.capath)))


def run(*command: str) -> None:
    if subprocess.run(command).returncode:
        sys.exit(f"failed: {' '.join(command)}")


def become(*command: str) -> NoReturn:
    """Let the command take the place of this process, so that it gets Ctrl-C and all signals."""
    if os.name == "nt":  # where the shell would not wait for it
        sys.exit(subprocess.run(command).returncode)
    os.execvp(command[0], command)


def version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


if __name__ == "__main__":
    main()
