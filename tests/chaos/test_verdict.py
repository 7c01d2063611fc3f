"""The verdict on journals that were written by hand: it must notice what the processes never do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.journal import Journal
from tests.chaos.verdict import Verdict, judge


class Journals:
    """What a sender and the lives of a receiver have noted down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sent, self._received = Journal(folder / "sent"), Journal(folder / "received")

    def accepted(self, *numbers: int) -> None:
        for number in numbers:
            self._sent.write("attempted", number)
            self._sent.write("accepted", number)

    def attempted(self, number: int) -> None:
        self._sent.write("attempted", number)

    def received(self, life: int, *numbers: int) -> None:
        for number in numbers:
            self._received.write(life, number, "00")

    def verdict(self, *unrecorded: tuple[int, int], with_inbox: bool = True) -> Verdict:
        return judge(self._folder, set(unrecorded), with_inbox)


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_all_is_well(journals: Journals) -> None:
    journals.accepted(1, 2, 3)
    journals.received(1, 1, 2)
    journals.received(2, 3)
    verdict = journals.verdict()
    assert verdict == Verdict(3, 3, lost=0, duplicated=0, repeated=0, out_of_order=0)
    assert verdict.is_good


def test_what_was_accepted_and_did_not_come_is_lost(journals: Journals) -> None:
    journals.accepted(1, 2, 3)
    journals.received(1, 1, 3)
    assert journals.verdict().lost == 1
    assert not journals.verdict().is_good


def test_what_was_only_attempted_may_come_or_not(journals: Journals) -> None:
    journals.attempted(1)
    journals.attempted(2)
    journals.accepted(3)
    journals.received(1, 2, 3)
    assert journals.verdict().is_good


@pytest.mark.parametrize("with_inbox", [True, False])
def test_a_repetition_in_one_life_is_a_duplicate(journals: Journals, with_inbox: bool) -> None:
    journals.accepted(1, 2)
    journals.received(1, 1, 2, 1)
    verdict = journals.verdict(with_inbox=with_inbox)
    assert (verdict.duplicated, verdict.repeated, verdict.out_of_order) == (1, 0, 0)
    assert not verdict.is_good


def test_a_repetition_after_a_restart_is_a_duplicate_if_it_was_known(
    journals: Journals,
) -> None:
    journals.accepted(1, 2)
    journals.received(1, 1, 2)
    journals.received(2, 1, 2)
    verdict = journals.verdict((1, 2))
    assert (verdict.duplicated, verdict.repeated, verdict.out_of_order) == (1, 1, 0)


def test_without_an_inbox_repetitions_in_the_next_life_are_expected(journals: Journals) -> None:
    journals.accepted(1)
    journals.received(1, 1)
    journals.received(2, 1)
    verdict = journals.verdict(with_inbox=False)
    assert (verdict.duplicated, verdict.repeated) == (0, 1)
    assert verdict.is_good


def test_a_large_message_may_be_overtaken_and_never_overtakes(journals: Journals) -> None:
    journals.accepted(20, 21, 22)
    journals.received(1, 20, 22, 21)
    assert journals.verdict().is_good
    journals.received(2, 21, 20)
    assert journals.verdict(with_inbox=False).out_of_order == 1


def test_a_message_that_overtakes_is_out_of_order(journals: Journals) -> None:
    journals.accepted(1, 2, 3)
    journals.received(1, 1, 3, 2)
    assert journals.verdict().out_of_order == 1
    assert not journals.verdict().is_good
