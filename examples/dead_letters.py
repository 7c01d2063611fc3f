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

from snakemq import Peer
from snakemq.message import Message
from snakemq.messaging import DeadLetters, Reject
from snakemq.peer import ReceivedMessage
from snakemq.queues import open_storage


def listen(url: str, port: str, words: list[str]) -> None:
    peer = Peer("listener", dead_letters=url)

    def on_message_reject(conn_id: str, ident: str, message: Message) -> None:
        print(f"kept {message.data.decode()}")  # it is in the storage by now

    peer.messaging.on_message_reject.add(on_message_reject)

    @peer.on_message
    def on_message(message: ReceivedMessage) -> None:
        text = message.data.decode()
        if text.isdecimal():
            answer = str(2 * int(text))
        elif text in words:
            answer = f"{text} {text}"
        else:
            raise Reject(f"{text!r} is not a number")
        again = " (requeued)" if "requeued" in message.headers else ""
        print(f"{message.sender.ident} sent {text}: {answer}{again}")
        message.reply(answer, codec="text", ttl=60)

    print("listening on", peer.listen(f"tcp://127.0.0.1:{port}"))
    peer.run()
    print("bye")


def show(letters: DeadLetters) -> None:
    for letter in letters.list():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.time))
        print(f"{when} from {letter.sender}: {letter.message.data!r}: {letter.reason}")


def main(file: str, what: str, port: str = "4000", *words: str) -> None:
    url = f"sqlite:///{file}"
    if what == "listen":
        listen(url, port, list(words))
        return
    storage = open_storage(url)
    letters = DeadLetters(storage)
    try:
        if what == "list":
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
