"""Which of many failures get a line in the log."""

from __future__ import annotations

from snakemq.link._failures import REPORT_INTERVAL, FailureSeries, RepeatedFailures


def test_reason_is_news_once_until_a_connection_works() -> None:
    series = FailureSeries()
    assert series.add("refused")
    assert not series.add("refused")
    assert series.add("no answer")
    assert not series.add("refused")  # two addresses that fail by turns are no news each time
    assert series.end() == 4
    assert series.add("refused")
    assert series.end() == 1
    assert series.end() == 0


def test_reasons_that_a_stranger_makes_up_are_news_a_few_times_only() -> None:
    series = FailureSeries()
    assert sum(series.add(f"reason {number}") for number in range(1000)) == 16


def test_remote_host_is_logged_once_a_minute_with_a_count() -> None:
    failures = RepeatedFailures()
    told = [
        (second, skipped)
        for second in range(180)
        if (skipped := failures.add("10.0.0.1", "no certificate", float(second))) is not None
    ]
    assert told == [(0, 0), (60, 59), (120, 59)]


def test_each_host_and_each_reason_is_reported() -> None:
    failures = RepeatedFailures()
    assert failures.add("10.0.0.1", "no certificate", 0.0) == 0
    assert failures.add("10.0.0.2", "no certificate", 0.0) == 0
    assert failures.add("10.0.0.1", "wrong version", 0.0) == 0
    assert failures.add("10.0.0.1", "wrong version", 1.0) is None


def test_reasons_that_a_host_makes_up_are_logged_a_few_times_a_minute() -> None:
    failures = RepeatedFailures()
    told = [failures.add("10.0.0.1", f"reason {number}", 0.0) for number in range(1000)]
    assert told.count(0) == 16
    assert failures.add("10.0.0.1", "the next minute", REPORT_INTERVAL) == 984


def test_many_hosts_at_once_share_an_entry_so_memory_is_bounded() -> None:
    failures = RepeatedFailures()
    told = [failures.add(f"host {number}", "no certificate", 0.0) for number in range(5000)]
    assert told.count(0) == 1001
    assert len(failures._sources) == 1001
    # a minute later their places are free
    for number in range(5000, 5100):
        assert failures.add(f"host {number}", "no certificate", REPORT_INTERVAL) == 0
    assert len(failures._sources) <= 1001
