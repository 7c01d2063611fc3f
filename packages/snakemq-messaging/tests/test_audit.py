"""The audit log says who was refused what, and cannot be flooded or forged."""

from __future__ import annotations

import pytest

from snakemq.link.testing import FakeClock
from snakemq.messaging._audit import LONGEST_TEXT, Audit
from snakemq.messaging._rate import INTERVAL


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def audit(clock: FakeClock) -> Audit:
    return Audit(clock.time)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "snakemq.audit"]


def test_refusal_names_the_peer_and_what_it_wanted(
    audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    audit.refused("call", "bob", "192.0.2.1:40312", "calculator.add")
    assert lines(caplog) == ["refused call: ident='bob' address='192.0.2.1:40312' 'calculator.add'"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_repetitions_are_counted_and_told_in_the_next_minute(
    audit: Audit, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        audit.refused("message", "bob", "")
    clock.advance(INTERVAL)
    audit.refused("message", "bob", "")
    assert lines(caplog) == [
        "refused message: ident='bob' address=''",
        "refused message: ident='bob' address='' (5 times)",
    ]


def test_each_peer_and_each_kind_has_lines_of_its_own(
    audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    for ident in ("bob", "carol"):
        for kind in ("message", "call"):
            audit.refused(kind, ident, "")
    assert len(lines(caplog)) == 4


def test_flood_of_idents_of_one_kind_does_not_hide_another_kind(
    audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        audit.refused("message", f"liar {number}", "")
    audit.refused("call", "bob", "")
    assert len(lines(caplog)) == 101
    assert "ident='bob'" in lines(caplog)[-1]


def test_what_is_not_proven_counts_for_the_host_it_comes_from(
    audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        address = f"192.0.2.1:{40_000 + number}"
        audit.refused("identification", f"liar {number}", address, is_proven=False)
    audit.refused("identification", "liar", "[2001:db8::1]:40312", is_proven=False)
    assert ["liar 0" in line for line in lines(caplog)] == [True, False]


def test_text_of_a_peer_is_escaped_quoted_and_cut(
    audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    audit.refused("call", "bob' address='\n2026 \u202e", "x" * 1000, "y" * 10**6)
    (line,) = lines(caplog)
    assert line.isprintable()
    assert r'''ident="bob' address='\n2026 \u202e"''' in line
    assert len(line) < 3 * LONGEST_TEXT
