"""Writes queues with the genuine snakeMQ 1.6, whose Python must run this script.

    python write_v16_file.py FILE
    python write_v16_file.py URL

A URL is one of SQLAlchemy, of which 1.6 needs a version below 1.4. Its table holds less than its
file: data of 64 KiB, 31 bits of flags (MariaDB).

Prints as JSON what is stored: per queue, in order, [uuid, data] in hex, ttl, flags. Used by
test_genuine_v16.py and wherever a real file of 1.6 is needed. Nothing of snakeMQ 2 is imported.
"""

from __future__ import annotations

import json
import sys

from snakemq.message import FLAG_PERSISTENT, Message


def main(target: str) -> None:
    repetitions, name, highest_flag = 5000, "Jos\u00e9 \U0001f40d", 0x80000000
    if "://" in target:
        from snakemq.storage.sqla import SqlAlchemyQueuesStorage

        storage = SqlAlchemyQueuesStorage(target)
        storage.create_structures()
        repetitions, name, highest_flag = 200, "Jos\u00e9", 0x40000000
    else:
        from snakemq.storage.sqlite import SqliteQueuesStorage

        storage = SqliteQueuesStorage(target)
    queues: dict[str, list[list[object]]] = {}
    contents = [b"", b"\x00\xff", b"text", bytes(range(256)) * repetitions]
    ttls = [None, 0.5, 60, 3600.25, 86400 * 365]
    for n in range(60):
        queue_name = ["peer", "other", name][n % 3]
        # Descending uuids: only the rows' own order is the order of the queue.
        message = Message(
            data=contents[n % 4] + b"%d" % n,
            ttl=ttls[n % 5],
            flags=FLAG_PERSISTENT | (highest_flag if n % 7 == 0 else 0),
            uuid=(0xFFFF - n).to_bytes(16, "big"),
        )
        storage.push(queue_name, message)
        if n % 10 == 9:
            storage.delete_items([message])
            continue
        queues.setdefault(queue_name, []).append(
            [message.uuid.hex(), message.data.hex(), message.ttl, message.flags]
        )
    storage.close()
    print(json.dumps(queues))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
