"""A receiver is killed while its callbacks write rows, whose inbox is in the same database."""

from pathlib import Path

from tests.chaos.rows import run

KILLS = 5
"""``python -m tests.chaos.rows 100`` does more of them, and shows other inboxes beside it."""


def test_each_row_is_there_once_though_its_writer_is_killed(tmp_path: Path) -> None:
    result = run(tmp_path, "SqliteInbox", KILLS, seed=1)
    print(result)
    assert (result.missing, result.repeated) == (0, 0)
