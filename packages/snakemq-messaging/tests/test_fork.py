"""A stack belongs to the process that made it."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORKING = """
import os
from snakemq.exceptions import LoopError
from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

link = Link()
messaging = Messaging("parent", "", Packeter(link), manual_ack=True)
message = Message(b"data", ttl=None)
receipt = messaging.post("other", message)
child = os.fork()
if child:
    print("child ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    messaging.send_message("peer", message)
    link.loop(runtime=0)
    print("queued in the parent:", messaging.stats().peers["peer"].queued)
else:
    for call in (
        lambda: link.loop(runtime=0),
        lambda: messaging.send_message("peer", message),
        lambda: messaging.ack(message),
        messaging.post("peer", message).wait,
        receipt.wait,
    ):
        try:
            call()
        except LoopError as exc:
            print("fork" in str(exc), flush=True)
        else:
            print("nothing happened", flush=True)
    own = Messaging("child", "", Packeter(Link()))
    own.send_message("peer", message)
    os._exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_inherited_stack_refuses_and_one_of_the_childs_own_does_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "True",
        "True",
        "True",
        "True",
        "True",
        "child ended with 7",
        "queued in the parent: 1",
    ]
