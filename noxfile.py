"""The sessions of nox check everything, on your own machine and in CI.

``nox`` runs all checks, and ``nox --list`` shows all sessions. ``nox -s tests -- -k reconnect``
passes arguments on to pytest; ``nox -s "tests-3.13(snakemq-link)"`` runs the tests of one package
on one Python. With ``EVERY_SUITE=1`` in the environment no suite is left out on any Python.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from tools import newest_pythons as newest  # noqa: E402
from tools import packages as _packages  # noqa: E402
from tools import pythons, tracked  # noqa: E402

nox.needs_version = ">=2025.2.9"  # for sessions that require another one
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = "CI" in os.environ

DIST = ROOT / "dist"
PACKAGES = _packages.discover()
META = PACKAGES["snakemq"]
PYTHONS = pythons.installed()
#: The Python for snakeMQ 1.6; newer ones no longer have what its TLS needs.
PYTHON_OF_1_6 = "3.11"
SYSTEM_PYTHON = pythons.OF_THE_SYSTEM if pythons.is_supported(pythons.OF_THE_SYSTEM) else None
#: Whether that is the oldest one that is supported here; then it stands for all of that version.
SYSTEM_IS_OLDEST = SYSTEM_PYTHON is not None and pythons.version(SYSTEM_PYTHON) == PYTHONS[0]
#: Set by `dev.py test`, which runs all tests on one Python, whichever it is.
EVERY_SUITE = "EVERY_SUITE" in os.environ
#: The newest versions with which the storages of 1.6 work; see our test_genuine_v16.py.
STORAGES_OF_1_6 = ("SQLAlchemy<1.4", "PyMySQL<2", "pymongo<5")
GROUPS = nox.project.load_toml("pyproject.toml")

#: What pytest runs: the tests of each package, and those in tests/, which need all packages.
SUITES = {
    name: [str(package.tests)]
    for name, package in PACKAGES.items()
    if any(package.tests.glob("**/test_*.py"))
}
PACKAGE_SUITES = [*SUITES]
PACKAGE_TESTS = [PACKAGES[name].tests.relative_to(ROOT) for name in PACKAGE_SUITES]
ALL = "all-packages"
SUITES[ALL] = ["tests", "--ignore=tests/interop"]

#: Folders of tests/ that run on one Python only, and those that run on the oldest and the newest.
ONCE = ("bench", "chaos", "counts", "tools")
TWICE = ("hostile", "simulation")

#: A suite that is pure logic and takes long. Of the newest Pythons, the very newest runs it.
PURE_LOGIC = "snakemq-messaging"


def runs_elsewhere(suite: str, python: str) -> bool:
    """Tell whether other sessions make it unnecessary to run this suite on this Python.

    The newest Python runs all. The suite of a package also runs on the oldest: here, or as a part
    of `system_python`. The Pythons between them have only the suite of all packages together.
    """
    if EVERY_SUITE or suite == ALL or python == PYTHONS[-1]:
        return False
    return python != PYTHONS[0] or SYSTEM_IS_OLDEST


#: Servers behave the same with every Python, so their tests run on one.
NO_SERVERS = ("-m", "not server")

#: Many tests wait, for other processes or for time to pass, so there are more workers than the two
#: processors of a small machine. The tests of a file share the servers that it starts.
PARALLEL = ("--numprocesses=4", "--dist=loadfile")

#: Each session writes here which of its tests are flaky; see tools/twice.py.
FLAKY = ROOT / ".nox" / "flaky"
START = time.time()


def run_pytest(session: nox.Session, *arguments: str) -> None:
    """Run these tests, and those that fail once more, alone. A second failure is one."""
    session.run("python", "-m", "tools.twice", str(flaky_list(session)), *PARALLEL, *arguments)


def flaky_list(session: nox.Session) -> Path:
    return FLAKY / re.sub(r"[^\w.-]+", "-", session.name).strip("-")


def tools_of(group: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(GROUPS, group)


def built(requirements: Iterable[str]) -> list[str]:
    """Return the paths of the wheels of all our packages that these requirements need.

    If the installer gets the files, it cannot take our packages from elsewhere, and nothing is
    installed that a package does not declare.
    """
    names, _ = _packages.needed(requirements, PACKAGES)
    return [str(DIST / PACKAGES[name].wheel) for name in sorted(names)]


def complete(names: Iterable[str]) -> list[str]:
    """Return the packages as requirements, with all of their extras."""
    return [PACKAGES[name].with_extras() for name in names]


def foreign(requirements: Iterable[str]) -> list[str]:
    """Return the distributions that these requirements need and that are not ours."""
    return sorted(_packages.needed(requirements, PACKAGES)[1])


def published() -> list[str]:
    """Return the names of the packages that may be published."""
    return [name for name, package in PACKAGES.items() if not package.private]


#: The suites of packages that need distributions of others.
DEPENDENT = [name for name in PACKAGE_SUITES if foreign(complete([name]))]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, words, changelogs, and that imports are declared and go only down."""
    session.install(*tools_of("lint"), "packaging")
    without = [f"--extend-exclude={path}" for path in tracked.scripts_of_the_reader()]
    session.run("ruff", "check", *without)
    session.run("ruff", "format", "--check", *without)
    session.run("python", "-m", "tools.layers")
    session.run("python", "-m", "tools.wings")
    session.run("python", "-m", "tools.plain_english")
    session.run("python", "-m", "tools.changelogs")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything strictly: packages, tools, examples, benchmarks, tests."""
    session.install(*tools_of("types"), *foreign(complete(PACKAGES)))
    # The packages share the namespace snakemq. With this path mypy finds it in all of these
    # folders, although one has an __init__.py; otherwise it would take paths for package names.
    sources = [str(package.source) for package in PACKAGES.values() if package.modules()]
    session.env["MYPYPATH"] = os.pathsep.join([*sources, "tests/counts/scripts"])
    session.run("mypy", *sources, "noxfile.py", "dev.py", "tools", "examples", "benchmarks")
    # Each folder of tests is checked separately, because each has a conftest.py. Two things are
    # allowed there: `lambda: (count(), stop())`, and `sent == received == []`. The tests have
    # their own cache, because different options would invalidate it.
    allowed = ("func-returns-value", "comparison-overlap")
    options = ("--cache-dir=.mypy_cache/tests", *(f"--disable-error-code={it}" for it in allowed))
    for folder in ("tests", *map(str, PACKAGE_TESTS)):
        session.run("mypy", *options, folder)


#: The files that GitHub reads, and their schemas.
SCHEMAS = {
    ".github/workflows/*.yml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    ".github/ISSUE_TEMPLATE/[!c]*.yml": "vendor.github-issue-forms",
}


@nox.session
def hosting(session: nox.Session) -> None:
    """Check the files that GitHub reads against their schemas, and for security holes."""
    session.install(*tools_of("hosting"))
    for pattern, schema in SCHEMAS.items():
        files = [str(path) for path in sorted(Path().glob(pattern))]
        session.run("check-jsonschema", "--builtin-schema", schema, *files)
    session.run("zizmor", "--offline", "--no-progress", ".github")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build everything into dist/ and check the result."""
    session.install(*tools_of("wheels"))
    shutil.rmtree(DIST, ignore_errors=True)
    for package in PACKAGES.values():
        # This builds the wheel from the source distribution, so that gets tested as well.
        build = ["python", "-m", "build", "--no-isolation", "--outdir", str(DIST)]
        session.run(*build, str(package.folder), silent=True)
    session.run("python", "-m", "tools.wheels", str(DIST))
    session.run("twine", "check", "--strict", *map(str, sorted(DIST.iterdir())))


@nox.session(requires=["wheels"])
def public_types(session: nox.Session) -> None:
    """Check that the wheels declare the type of everything public, for users' type checkers."""
    wanted = complete(PACKAGES)
    session.install(*built(wanted), *foreign(wanted), *tools_of("public-types"))
    # One run checks all: in an environment all modules are in the namespace that snakemq owns.
    session.run("basedpyright", "--ignoreexternal", "--verifytypes", "snakemq")


@nox.session(python=PYTHONS, requires=["wheels"])
@nox.parametrize("suite", [*SUITES], ids=[*SUITES])
def tests(session: nox.Session, suite: str) -> None:
    """Test each package's wheel with only what it declares; then run tests/."""
    if runs_elsewhere(suite, str(session.python)):
        session.skip("another Python stands for this one; EVERY_SUITE=1 runs it here as well")
    wanted = complete(published() if suite == ALL else [suite])
    session.install(*built(wanted), *foreign(wanted), *tools_of("test"))
    if suite == ALL:
        session.install(*tools_of("examples"))
    if session.python != PYTHONS[-1]:
        # Databases, pure logic and tests that only count behave the same on every Python. One
        # Python runs all of the simulation; the oldest one meets the databases in `lowest`.
        session.env["SIMULATION_RUNS"] = "200"
        elsewhere = (*ONCE, *(TWICE if session.python != PYTHONS[0] else ()))
        ignored = [f"--ignore=tests/{name}" for name in elsewhere] if suite == ALL else []
        options = (*NO_SERVERS, *ignored, *session.posargs)
        run_pytest(session, *SUITES[suite], *options)
        return
    install_servers(session, suite)
    if suite == ALL:
        session.install("numpy")  # because a page has an example with it
    run_pytest(session, *SUITES[suite], *session.posargs)


def install_servers(session: nox.Session, suite: str) -> None:
    """Install MongoDB for suites that need it; PostgreSQL and MariaDB come with the system."""
    if suite in (ALL, "snakemq-storage-mongo") and NO_SERVERS[-1] not in session.posargs:
        session.install("--require-hashes", "-r", "tests/servers/requirements.txt")


@nox.session(python=SYSTEM_PYTHON, requires=["wheels"])
def system_python(session: nox.Session) -> None:
    """Test each package on the Python of the system, which may have bugs of its own.

    Debian 12 has 3.11.2, with faults in `re` that later versions of 3.11 do not have.
    """
    if SYSTEM_PYTHON is None:
        must = "CI" in os.environ and pythons.is_debian()
        reason = f"{pythons.OF_THE_SYSTEM} is not a Python that is supported"
        session.error(reason) if must else session.skip(reason)
    wanted = complete(PACKAGE_SUITES)
    session.install(*built(wanted), *foreign(wanted), *tools_of("test"))
    run_pytest(session, *map(str, PACKAGE_TESTS), *NO_SERVERS, *session.posargs)


@nox.session(requires=["wheels"], venv_backend="uv")
@nox.parametrize("version", newest.VERSIONS, ids=newest.VERSIONS)
def newest_pythons(session: nox.Session, version: str) -> None:
    """Test each package on Pythons that Debian 12 does not have; only root on Debian gets them.

    Only the newest of them runs the suite that is pure logic.
    """
    if not newest.should_be_had():
        session.skip(f"only root on Debian can get Python {version} here")
    try:
        debian = newest.debian()
    except newest.CannotBeHad as exc:
        session.error(str(exc)) if "CI" in os.environ else session.skip(str(exc))

    def run(*command: str) -> None:
        session.run(*newest.inside(debian, work, *command), external=True)

    work = Path(session.create_tmp()).absolute() / "work"
    shutil.rmtree(work, ignore_errors=True)
    caches = shutil.ignore_patterns("__pycache__", ".*")
    for folder in (Path("tests"), Path("tools"), *PACKAGE_TESTS):
        shutil.copytree(ROOT / folder, work / folder, ignore=caches)
    for file in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, work)
    environment = newest.WORK / "environment"
    run(f"python{version}", "-m", "venv", "--without-pip", "--clear", str(environment))
    # Install from outside, where the installer can reach the packages.
    site = f"environment/lib/python{version}/site-packages"
    target = ("--target", str(work / site), "--python-version", version, "--only-binary=:all:")
    suites = [it for it in PACKAGE_SUITES if it != PURE_LOGIC or version == newest.VERSIONS[-1]]
    wanted = complete(suites)
    session.install(*target, *built(wanted), *foreign(wanted), *tools_of("test"))
    python, names = str(environment / "bin/python"), "flaky"
    options = (*PARALLEL, f"--rootdir={newest.WORK}", *NO_SERVERS, *session.posargs)
    folders = [str(PACKAGES[name].tests.relative_to(ROOT)) for name in suites]
    run(python, "-m", "tools.twice", names, *folders, *options)
    if (work / names).exists():
        FLAKY.mkdir(parents=True, exist_ok=True)
        shutil.copy(work / names, flaky_list(session))


@nox.session(python=PYTHONS[:1], requires=["wheels"], venv_backend="uv")
@nox.parametrize("suite", DEPENDENT, ids=DEPENDENT)
def lowest(session: nox.Session, suite: str) -> None:
    """Test the packages that depend on others with the oldest versions that they accept."""
    wanted = complete([suite])
    session.install("--resolution=lowest-direct", *built(wanted), *foreign(wanted))
    session.install(*tools_of("test"))
    install_servers(session, suite)
    # Tests of crashes, full disks and replica sets test the servers, not the versions.
    others = ("-k", "not test_server and not test_sqla_server and not test_replica_set")
    run_pytest(session, *SUITES[suite], *others, *session.posargs)


@nox.session(python=PYTHON_OF_1_6, requires=["wheels"], venv_backend="venv")
def upgrade(session: nox.Session) -> None:
    """Upgrade from snakeMQ 1.6 to ours, go back, mix both, and upgrade again.

    This uses pip, which removes 1.6 after it has installed our layers. uv does not, and would hide
    that files get lost.
    """
    names = "tests/packaging/names_of_1.6.txt"
    to_ours = ["--upgrade", f"--find-links={DIST}", "snakemq[all]"]
    import_link = ["python", "-c", "import snakemq.link"]

    session.install("snakemq==1.6")
    session.run(*import_link)
    session.install(*to_ours)
    session.run("python", "tools/import_names.py", names)
    session.run("python", "-m", "pip", "check")

    session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", *published())
    session.install("snakemq==1.6")
    session.run(*import_link)
    session.install(*built(["snakemq-link"]))
    refusal = session.run(*import_link, success_codes=[1], silent=True)
    if "ImportError" not in str(refusal) or "pip install -U snakemq" not in str(refusal):
        session.error(f"a layer beside 1.6 must say what to do, but says: {refusal}")

    session.install("--upgrade", "pip")
    session.install(*to_ours)
    session.run("python", "tools/import_names.py", names)


@nox.session(requires=["wheels"], venv_backend="uv")
@nox.parametrize("extra", ["", *META.extras], ids=["no-extra", *META.extras])
def extras(session: nox.Session, extra: str) -> None:
    """Check that `pip install 'snakemq[...]'` installs exactly the promised distributions."""
    requirement = f"snakemq[{extra}]" if extra else "snakemq"
    # Those of others come first. The index is not asked for ours: it may have none, or others. Nor
    # is the cache: it may have wheels of the same version that were built here before.
    if others := foreign([requirement]):
        session.install(*others)
    before = distributions(session)
    session.install("--no-cache", "--no-index", f"--find-links={DIST}", requirement)
    arrived = distributions(session) - before
    promised, _ = _packages.needed([requirement], PACKAGES)
    if arrived != promised:
        session.error(f"{requirement} promises {sorted(promised)}, installs {sorted(arrived)}")
    modules = _packages.importable([requirement], PACKAGES)
    public = sorted(module for module in modules if "._" not in module)
    session.run("python", "-c", f"import {', '.join(public)}")


@nox.session(venv_backend="venv")
def clone(session: nox.Session) -> None:
    """Check that `pip install .` in a clone installs the packages from their folders."""
    ours = {name for name in PACKAGES if not foreign([name])}
    session.install("--quiet", ".")
    missing = ours - distributions(session)
    if missing:
        session.error(f"pip install . has not installed {sorted(missing)}")
    session.run("python", "-m", "pip", "check")
    with session.chdir(session.create_tmp()):
        session.run("python", "-c", "import snakemq.rpc, snakemq.storage.sqlite, snakemq.peer")


def distributions(session: nox.Session) -> set[str]:
    """Return the names of all distributions in the session's environment."""
    script = "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))"
    return set(str(session.run("python", "-c", script, silent=True)).split())


@nox.session(python=PYTHONS[-1:], requires=["wheels"])
def interop(session: nox.Session) -> None:
    """Test against the genuine snakeMQ 1.6 from PyPI, in its own environment."""
    suites = ("tests/interop", *map(str, ROOT.glob("packages/*/tests/test_genuine_v16.py")))
    if PYTHON_OF_1_6 not in PYTHONS and "CI" not in os.environ:
        session.skip(f"snakeMQ 1.6 needs Python {PYTHON_OF_1_6}")
    wanted = complete(published())
    session.install(*built(wanted), *foreign(wanted), *tools_of("test"))
    install_servers(session, ALL)
    session.env["SNAKEMQ16_PYTHON"] = python_with_1_6(session, *STORAGES_OF_1_6)
    run_pytest(session, *suites, *session.posargs)


def python_with_1_6(session: nox.Session, *more: str) -> str:
    """Make an environment with the genuine snakeMQ 1.6 and ``more``, and return its Python."""
    old = Path(session.create_tmp()).absolute() / "snakemq-1.6"
    session.run(f"python{PYTHON_OF_1_6}", "-m", "venv", "--clear", str(old), external=True)
    python = str(old / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "--quiet", "snakemq==1.6", *more, external=True)
    return python


@nox.session(venv_backend="none")
def flaky(session: nox.Session) -> None:
    """Show which tests of this run were flaky: they failed, and passed when they ran again."""
    for path in sorted(FLAKY.glob("*")):
        if path.stat().st_mtime >= START:
            for test in path.read_text().splitlines():
                session.warn(f"FLAKY in {path.name}: {test}")


@nox.session(default=False, requires=["wheels"])
def docs(session: nox.Session) -> None:
    """Test the pages and the examples on one Python; `tests` does it on every Python."""
    wanted = complete(published())
    session.install(*built(wanted), *foreign(wanted), *tools_of("test"), *tools_of("examples"))
    suites = ("tests/docs", "tests/examples", "tests/packaging")
    run_pytest(session, *suites, *NO_SERVERS, *session.posargs)


@nox.session(default=False, requires=["wheels"])
def release(session: nox.Session) -> None:
    """Build what a tag names, ready to be published: ``nox -s release -- v2.0.1``."""
    if len(session.posargs) != 1:
        session.error("which tag? nox -s release -- v2.0.1")
    session.install("packaging")
    session.run("python", "-m", "tools.changelogs", *session.posargs)


@nox.session(default=False, requires=["wheels"])
def demo(session: nox.Session) -> None:
    """Run the demo: real processes talk, are killed, come back and lose nothing."""
    session.install(*built(["snakemq[rpc,sqlite]"]))
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session(default=False, requires=["wheels"])
def soak(session: nox.Session) -> None:
    """Simulate a hundred thousand runs, fifty times as many as `tests`; takes about an hour.

    ``nox -s soak -- 5000 100`` runs 100 from seed 5000 on. A failure says how to replay it.
    """
    session.install(*built(["snakemq[rpc]"]))
    session.run("python", "-m", "tests.simulation", *(session.posargs or ["0", "100000"]))


@nox.session(default=False, requires=["wheels"])
def fuzz(session: nox.Session) -> None:
    """Try random pickles for an hour; ``nox -s fuzz -- 36000 1`` takes ten, from seed 1 on."""
    session.install(*built(["snakemq[rpc]"]))
    session.run("python", "-m", "tests.fuzz", *(session.posargs or ["3600"]))


@nox.session(default=False, requires=["wheels"])
def chaos(session: nox.Session) -> None:
    """Send 100,000 messages between processes that are killed, over connections that are cut."""
    session.install(*built(["snakemq[sqlite]"]))
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session(default=False, requires=["wheels"])
def bench(session: nox.Session) -> None:
    """Compare our wheels with 1.6, pyzmq, RPyC, Pyro5, NATS, gRPC, and RabbitMQ if installed.

    ``nox -s bench -- short`` takes a minute, ``nox -s bench -- W2 W4`` runs only these workloads,
    ``nox -s bench -- page`` runs all and writes docs/performance.
    """
    wanted = complete(published())
    session.install(*built(wanted), *foreign(wanted), *tools_of("bench"))
    environment = {}
    if PYTHON_OF_1_6 in PYTHONS:
        environment["SNAKEMQ16_PYTHON"] = python_with_1_6(session)
    session.run("python", "-m", "benchmarks.suite", *session.posargs, env=environment)


@nox.session(default=False)
def instructions(session: nox.Session) -> None:
    """Count the instructions of each message, packet and call. Needs valgrind.

    ``nox -s instructions -- --before CLONE`` compares with another clone.
    """
    session.install(*foreign(complete(PACKAGES)))
    sources = os.pathsep.join(str(package.source) for package in PACKAGES.values())
    session.env["PYTHONPATH"] = sources
    session.run("python", "-m", "benchmarks.instructions", *session.posargs)
