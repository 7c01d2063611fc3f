"""Run workloads and print tables; see benchmarks/README.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .harness.plan import BEFORE, Workload
from .harness.results import Results, load, save
from .harness.run import Options, default_cpus, run
from .harness.scripts import SCRIPTS
from .harness.stage import ROOT
from .peers import PEERS, before
from .report.profiles import profiles_of, profiles_of_missed
from .report.tables import page, terminal
from .workloads import WORKLOADS, named

PAGE = ROOT / "docs" / "performance"


@dataclass(frozen=True)
class Order:
    """What is to be done."""

    workloads: Sequence[Workload]
    scripts: Sequence[str]
    options: Options


def main(given: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(given)
    if arguments.stored:
        results = load(arguments.stored)
    else:
        order = _order(parser, arguments)
        if arguments.profile:
            results = Results(profiles=dict(profiles_of(order.workloads, order.options)))
        else:
            results = _measure(order)
            if "page" in arguments.what:
                _say("the goals that were missed: where the time goes")
                results.profiles = dict(profiles_of_missed(results, order.options))
    print(terminal(results))
    if arguments.json:
        save(results, arguments.json)
    if "page" in arguments.what:
        _write_page(results, PAGE)
    return 1 if results.failed else 0


def _parser() -> argparse.ArgumentParser:
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
        "--from", type=Path, dest="stored", metavar="JSON", help="measure nothing, show these"
    )
    parser.add_argument(
        "--profile", action="store_true", help="do not compare; where does our own time go?"
    )
    parser.add_argument(
        "--before", type=Path, metavar="CLONE", help="compare with snakeMQ 2 of another clone"
    )
    return parser


def _order(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Order:
    short = "short" in arguments.what
    names = [name for name in arguments.what if name not in ("short", "page")]
    workloads: list[Workload] = []
    for name in names or WORKLOADS:
        if name not in SCRIPTS:
            workloads += named(name) or parser.error(f"there is no {name}; see --help")
    scripts = [name for name in SCRIPTS if name in names or not (names or arguments.peers)]

    chosen = arguments.peers.split(",") if arguments.peers else list(PEERS)
    if unknown := set(chosen) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    peers = {name: PEERS[name] for name in chosen}
    if arguments.before:
        peers[BEFORE] = before(arguments.before)

    cpus = default_cpus()
    if arguments.cpus:
        cpus = () if arguments.cpus == "none" else tuple(map(int, arguments.cpus.split(",")))
    options = Options(
        rounds=arguments.rounds or (1 if short else 5),
        scale=arguments.scale or (0.1 if short else 1),
        cpus=cpus,
        peers=peers,
        short=short,
    )
    return Order(workloads, scripts, options)


def _measure(order: Order) -> Results:
    results = run(order.workloads, order.options, _say)
    for name in order.scripts:
        _say(f"{name}: {SCRIPTS[name].title}")
        results.texts[name] = SCRIPTS[name].run(order.options.short)
    return results


def _write_page(results: Results, folder: Path) -> None:
    """The page, its pictures, and the figures that both were made of."""
    from .report.plots import draw  # matplotlib is only needed for this

    folder.mkdir(exist_ok=True)
    save(results, folder / "results.json")
    stored = load(folder / "results.json")  # what everybody can make the same page of
    (folder / "results.md").write_text(page(stored, draw(stored, folder)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
