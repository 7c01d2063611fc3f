"""A method that is still running when the link is cleaned up."""

from __future__ import annotations

import logging
import threading

import pytest

from snakemq.link import Link
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcClient, RpcServer

PATIENCE = 60.0


class Slow:
    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.thread = threading.current_thread()

    def work(self) -> None:
        self.thread = threading.current_thread()
        self.has_begun.set()
        self.may_end.wait(PATIENCE)


def test_its_end_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    here, there = Link(), Link()
    server = RpcServer(ReceiveHook(Messaging("server", "", Packeter(here))))
    slow = Slow()
    server.register_object(slow, "slow")
    client = RpcClient(ReceiveHook(Messaging("client", "", Packeter(there))))
    there.add_connector(here.add_listener(("127.0.0.1", 0)))
    loops = [threading.Thread(target=link.loop) for link in (here, there)]
    with caplog.at_level(logging.DEBUG, "snakemq.rpc"):
        for loop in loops:
            loop.start()
        client.get_proxy("server", "slow").work.future()
        try:
            assert slow.has_begun.wait(PATIENCE)
            here.cleanup()
        finally:
            slow.may_end.set()
            server.close()  # ends its threads
            slow.thread.join(PATIENCE)
            client.close()
            there.cleanup()
            for loop in loops:
                loop.join(PATIENCE)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []
