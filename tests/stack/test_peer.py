"""A peer whose process dies, with a real storage."""

import subprocess
import sys
from pathlib import Path

from snakemq.queues import open_storage

PATIENCE = 60.0
"""Seconds after which something that has not happened will not happen any more."""


def test_what_was_sent_survives_kill_9(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from snakemq.peer import Peer\n"
        "peer = Peer('device', storage='sqlite:///outbox.db')\n"
        "for number in range(50):\n"
        "    peer.send('collector', b'%d' % number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False, timeout=PATIENCE)
    storage = open_storage(f"sqlite:///{tmp_path}/outbox.db")
    assert [item.data for item in storage.get_items("collector")] == [b"%d" % n for n in range(50)]
    storage.close()
