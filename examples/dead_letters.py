"""Keeps messages that cannot be processed, and offers them again when the program has learned more.

    python dead_letters.py FILE listen [PORT] [WORD...]
    python dead_letters.py FILE list
    python dead_letters.py FILE requeue
    python dead_letters.py FILE purge

The first one listens on 127.0.0.1:PORT (4000 by default; 0 picks a free one) as "listener", so
messaging_connector.py can send it texts. It doubles numbers, rejects what is not one, and keeps
that in the SQLite database FILE. Stop it with Ctrl-C to look at the dead letters; only one process
can have the file open. After "requeue", start it again with WORDs that it knows from now on: it is
offered the dead letters again, as if their senders had just sent them.
"""

import sys
import time

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import DeadLetters, Messaging, Reject
from snakemq.packeter import Packeter
from snakemq.queues import QueuesStorageBase, open_storage


def listen(storage: QueuesStorageBase, port: int, words: list[str]) -> None:
    link = Link()
    messaging = Messaging("listener", "", Packeter(link), dead_letters=storage)

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        text = message.data.decode()
        if text.isdecimal():
            answer = str(2 * int(text))
        elif text in words:
            answer = f"{text} {text}"
        else:
            raise Reject(f"{text!r} is not a number")
        print(f"{ident} sent {text}: {answer}", "(requeued)" if message.headers else "")
        messaging.send_message(ident, Message(answer.encode(), ttl=60))

    def on_message_reject(conn_id: str, ident: str, message: Message) -> None:
        print(f"kept {message.data.decode()}")  # it is in the storage by now

    messaging.on_message_recv.add(on_message_recv)
    messaging.on_message_reject.add(on_message_reject)
    try:
        print("listening on", link.add_listener(("127.0.0.1", port)))
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


def show(letters: DeadLetters) -> None:
    for letter in letters.list():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.time))
        print(f"{when} from {letter.sender}: {letter.message.data!r}: {letter.reason}")


def main(file: str, what: str, port: str = "4000", *words: str) -> None:
    storage = open_storage(f"sqlite:///{file}")
    letters = DeadLetters(storage)
    try:
        if what == "listen":
            listen(storage, int(port), list(words))
        elif what == "list":
            show(letters)
        elif what == "requeue":
            letters.requeue(letters.list())
        elif what == "purge":
            letters.purge(letters.list())
        else:
            sys.exit(__doc__)
    finally:
        storage.close()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
