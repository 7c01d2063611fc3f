"""Which errors of the driver are worth another attempt."""

from __future__ import annotations

import pytest
from pymongo import errors

from snakemq.storage.mongodb._errors import explain

SHUTDOWN, DISK_FULL, TOO_LARGE = 91, 14031, 10334


def bulk(*, write: list[int], concern: list[int]) -> errors.BulkWriteError:
    return errors.BulkWriteError(
        {
            "writeErrors": [{"index": 0, "code": code, "errmsg": "no"} for code in write],
            "writeConcernErrors": [{"code": code, "errmsg": "no"} for code in concern],
        }
    )


@pytest.mark.parametrize(
    "error",
    [
        errors.OperationFailure("the server is in shutdown", SHUTDOWN),
        errors.OperationFailure("interrupted at shutdown", 11600),
        bulk(write=[DISK_FULL], concern=[]),
        bulk(write=[], concern=[SHUTDOWN]),
        bulk(write=[DISK_FULL], concern=[SHUTDOWN, 11602]),
        errors.AutoReconnect("gone"),
    ],
    ids=repr,
)
def test_a_server_that_ends_or_is_full_is_worth_another_attempt(error: Exception) -> None:
    failure = explain(error)
    assert failure is not None
    assert failure.is_temporary


@pytest.mark.parametrize(
    "error",
    [
        errors.OperationFailure("a document is too large", TOO_LARGE),
        bulk(write=[TOO_LARGE], concern=[]),
        bulk(write=[DISK_FULL], concern=[TOO_LARGE]),
        errors.InvalidURI("what?"),
    ],
    ids=repr,
)
def test_what_will_never_be_right_is_not(error: Exception) -> None:
    failure = explain(error)
    assert failure is not None
    assert not failure.is_temporary
