"""Draws the life of a connection into docs/protocol.md, from the table that the code runs on.

``python -m tools.phases`` writes it; a test compares it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from snakemq.messaging._wire._phases import FRAMES, TABLE, Event, Phase

PAGE = Path(__file__).parents[1] / "docs/protocol.md"
BEGIN = "<!-- drawn by tools/phases.py -->\n"
END = "<!-- end of the drawing -->\n"


def drawing() -> str:
    """A diagram of the phases, and the table of what becomes of the frames in them."""
    return "\n".join([*_diagram(), "", *_table(), ""])


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {_name(Phase.GREETING)}"
    for phase, steps in TABLE.items():
        for event, step in steps.items():
            if step.phase is not None and event is not Event.END:
                reason = event.value.replace("`", "")
                yield f"    {_name(phase)} --> {_name(step.phase)}: {reason}"
    yield "```"


def _name(phase: Phase) -> str:
    return phase.value.replace(" ", "_")


def _table() -> Iterator[str]:
    heard = [phase for phase, steps in TABLE.items() if any(event in FRAMES for event in steps)]
    yield f"| frame | {' | '.join(phase.value for phase in heard)} |"
    yield "|---|" + "---|" * len(heard)
    for event in FRAMES:
        yield f"| {event.value} | {' | '.join(_cell(phase, event) for phase in heard)} |"


def _cell(phase: Phase, event: Event) -> str:
    step = TABLE[phase].get(event)
    return "ignored" if step is None or step.act is None else step.act.value


def drawn_into(page: str) -> str:
    """The text of the page with the present drawing in place of the last one."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{drawing()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn_into(PAGE.read_text()))
