"""Threads that post to a real peer, with a real storage."""

from __future__ import annotations

import threading
from pathlib import Path

from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, Receipt, ReceiptState
from snakemq.packeter import Packeter
from snakemq.storage.sqlite import SqliteQueuesStorage

PATIENCE = 60.0
"""Seconds after which a test has failed; it goes on as soon as it can."""

THREADS = 4
POSTS = 200


def test_posts_of_each_thread_arrive_in_order_and_their_receipts_say_so(tmp_path: Path) -> None:
    storage = SqliteQueuesStorage(str(tmp_path / "alice.db"))
    links = [Link(), Link()]
    alice = Messaging("alice", "", Packeter(links[0]), storage)
    bob = Messaging("bob", "", Packeter(links[1]))
    heard: list[bytes] = []
    bob.on_message_recv.add(lambda conn_id, ident, message: heard.append(message.data))
    links[0].add_connector(links[1].add_listener(("127.0.0.1", 0)))
    receipts: list[Receipt] = []

    def post(thread: int) -> None:
        for number in range(POSTS):
            flags = FLAG_PERSISTENT if number % 3 else 0
            receipts.append(alice.post("bob", Message(b"%d %d" % (thread, number), None, flags)))

    loops = [threading.Thread(target=link.loop) for link in links]
    posters = [threading.Thread(target=post, args=(number,)) for number in range(THREADS)]
    for thread in (*loops, *posters):
        thread.start()
    try:
        for poster in posters:
            poster.join(PATIENCE)
        for receipt in receipts:
            receipt.wait(PATIENCE)
    finally:
        for link, loop in zip(links, loops, strict=True):
            link.stop()
            loop.join(PATIENCE)
            link.cleanup()
    assert {receipt.state for receipt in receipts} == {ReceiptState.DELIVERED}
    for poster_number in range(THREADS):
        of_thread = [text for text in heard if text.startswith(b"%d " % poster_number)]
        assert of_thread == [b"%d %d" % (poster_number, number) for number in range(POSTS)]
    alice.close()
    assert storage.get_queues() == []
    storage.close()
