"""Run workloads and print tables; see benchmarks/README.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .peers import PEERS, before
from .plan import BEFORE, Workload
from .report import page, terminal
from .results import Results, load, save
from .run import Options, default_cpus, run
from .scripts import SCRIPTS
from .stage import ROOT
from .workloads import WORKLOADS, named

PAGE = ROOT / "docs" / "performance"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="short: less of everything, about a minute; page: write docs/performance; "
        f"names: only these of {', '.join((*WORKLOADS, *SCRIPTS))}",
    )
    parser.add_argument("--peers", help="only these of " + ",".join(PEERS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--scale", type=float, help="multiplies all counts")
    parser.add_argument("--cpus", help="pin the sides to these by turns, as in 0,1; none: to none")
    parser.add_argument("--json", type=Path, help="write the figures of all rounds into this file")
    parser.add_argument(
        "--before", type=Path, metavar="CLONE", help="compare with snakeMQ 2 of another clone"
    )
    parser.add_argument(
        "--from", type=Path, dest="stored", metavar="JSON", help="measure nothing, show these"
    )
    return parser


def main(arguments_given: Sequence[str] | None = None) -> int:
    parser = arguments()
    options = parser.parse_args(arguments_given)
    results = load(options.stored) if options.stored else measure(parser, options)
    print(terminal(results))
    if options.json:
        save(results, options.json)
    if "page" in options.what:
        write_page(results, PAGE)
    return 1 if results.failed else 0


def measure(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Results:
    short = "short" in options.what
    names = [name for name in options.what if name not in ("short", "page")]
    workloads: list[Workload] = []
    for name in names or WORKLOADS:
        if name not in SCRIPTS:
            workloads += named(name) or parser.error(f"there is no {name}; see --help")
    chosen = options.peers.split(",") if options.peers else list(PEERS)
    if unknown := set(chosen) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    peers = {name: PEERS[name] for name in chosen}
    if options.before:
        peers[BEFORE] = before(options.before)
    cpus = default_cpus()
    if options.cpus:
        cpus = () if options.cpus == "none" else tuple(map(int, options.cpus.split(",")))

    results = run(
        workloads,
        Options(
            rounds=options.rounds or (1 if short else 5),
            scale=options.scale or (0.1 if short else 1),
            cpus=cpus,
            peers=peers,
            short=short,
        ),
        say,
    )
    for name, script in SCRIPTS.items():
        if name in names or not (names or options.peers):
            say(f"{name}: {script.title}")
            results.texts[name] = script.run(short)
    return results


def write_page(results: Results, folder: Path) -> None:
    """The page, its pictures, and the figures that both were made of."""
    from .plots import draw  # matplotlib is only needed for this

    folder.mkdir(exist_ok=True)
    save(results, folder / "results.json")
    (folder / "results.md").write_text(page(results, draw(results, folder)))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
