"""A server that ends by itself is reported together with the tests that fail; see conftest.py."""

from __future__ import annotations

import pytest

from tests.servers import Server, ended_by_themselves

pytestmark = pytest.mark.server


def test_a_server_that_ended_by_itself_is_reported_with_its_log(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(server.crash_signal)
    status = server.process.wait()
    report = (f"{server.name} has ended by itself, status {status}", server.log())
    assert report in ended_by_themselves()
    assert report[1] != ""
    server.start()
    assert ended_by_themselves() == []


def test_a_server_that_a_test_has_ended_is_not_reported(server: Server) -> None:
    for end in (server.stop, server.crash):
        end()
        assert ended_by_themselves() == []
        server.start()
