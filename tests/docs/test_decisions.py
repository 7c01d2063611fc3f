"""The index of the decisions is complete, and has their titles."""

import re

from .pages import DOCS
from .tables import rows

FOLDER = DOCS / "adr"
INDEX = rows((FOLDER / "README.md").read_text(), "")


def test_the_index_names_every_decision_in_order() -> None:
    links = [re.fullmatch(r"\[(\d+)\]\((.+)\)", cells[0]) for cells in INDEX]
    named = [(int(link[1]), link[2]) for link in links if link]
    files = sorted(path.name for path in FOLDER.glob("[0-9]*.md"))
    assert named == list(enumerate(files, 1))


def test_the_index_has_the_title_of_each_decision() -> None:
    for number, (_, title, reason) in enumerate(INDEX, 1):
        (file,) = FOLDER.glob(f"{number:04}-*.md")
        assert file.read_text().startswith(f"# {number}. {title}\n\nStatus: "), file.name
        assert reason
