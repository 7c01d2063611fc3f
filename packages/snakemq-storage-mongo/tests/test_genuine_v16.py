"""Documents that the genuine snakeMQ 1.6 has written, but for what write_v16_documents.py says.

``SNAKEMQ16_PYTHON`` names the Python of an environment with snakemq 1.6 from PyPI and pymongo 4.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymongo
import pytest

from snakemq.storage.mongodb import MongoDbQueuesStorage
from tests.servers import MongoDb

PYTHON = os.environ.get("SNAKEMQ16_PYTHON")

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not PYTHON, reason="SNAKEMQ16_PYTHON is not set"),
]


def test_documents_are_taken_over_whole_and_in_order(server: MongoDb) -> None:
    assert PYTHON
    run = partial(subprocess.run, stdout=subprocess.PIPE)
    needed = run([PYTHON, "-c", "import pymongo"], stderr=subprocess.DEVNULL)
    if needed.returncode and not os.environ.get("CI"):
        pytest.skip("the environment of 1.6 has no pymongo")
    collection = f"test_{uuid4().hex}"
    script = Path(__file__).with_name("write_v16_documents.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [PYTHON, "-W", "ignore", str(script), str(server.port), collection]
    written = json.loads(run(command, check=True, env=environment).stdout)
    for _ in range(2):
        place = (server.url, 27017, "tests", collection)
        with closing(MongoDbQueuesStorage(*place, clock=lambda: 0.0)) as storage:
            assert sorted(storage.get_queues()) == sorted(written)
            for queue_name, expected in written.items():
                found = [
                    [item.uuid.hex(), item.data.hex(), item.ttl, item.flags]
                    for item in storage.get_items(queue_name)
                ]
                assert found == expected
    with pymongo.MongoClient[Any](server.url) as client:
        backup = client["tests"][f"{collection}.snakemq_items_v16_backup"]
        assert backup.count_documents({}) == sum(map(len, written.values()))
