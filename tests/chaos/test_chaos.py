"""The short form: see ``tests/chaos/__init__.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.director import Director, Plan


def test_nothing_is_lost_that_is_retried_released_or_rejected(tmp_path: Path) -> None:
    kills = 8
    plan = Plan(messages=1500, seed=2, kills=kills, pause=(0.05, 0.5), settles=True)
    report = Director(plan, tmp_path).run()
    print(report)
    verdict = report.verdict
    assert verdict.accepted >= plan.messages - kills
    assert verdict.is_good, report
    assert report.errors == []
    # A sender that is killed in send_message leaves that message out.
    assert abs(verdict.dead_letters - plan.messages // 10) <= kills
    assert report.kills.total() > 0


@pytest.mark.parametrize("with_inbox", [True, False], ids=["inbox", "no-inbox"])
def test_nothing_is_lost_between_processes_that_are_killed(
    tmp_path: Path, with_inbox: bool
) -> None:
    kills = 8
    plan = Plan(messages=1500, seed=1, kills=kills, pause=(0.05, 0.5), with_inbox=with_inbox)
    report = Director(plan, tmp_path).run()
    print(report)
    # A sender that is killed in send_message has not accepted the message.
    assert report.verdict.accepted >= plan.messages - kills
    assert report.verdict.is_good, report
    assert report.errors == []
    assert report.kills.total() > 0
    assert report.cuts > 0
