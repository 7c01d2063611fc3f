"""Listens over TLS; both sides prove who they are.

    python tls_certificates.py certs                  once
    python tls_listener.py [PORT] [FOLDER]
    python tls_connector.py [PORT] [FOLDER]           in another terminal

A peer can claim any ident. Here an authenticator compares it with the certificate of the peer,
before anything is sent to it or taken from it. Ends on Ctrl-C.
"""

import sys

from snakemq import Peer
from snakemq.exceptions import NotProven
from snakemq.identity import CertificateIdents
from snakemq.link import SSLConfig
from snakemq.peer import ReceivedMessage


def main(port: str = "4000", folder: str = "certs") -> None:
    peer = Peer("listener", authenticator=CertificateIdents("spiffe://corp.example/{ident}"))

    def on_error(conn_id: str | None, error: Exception) -> None:
        if isinstance(error, NotProven):
            print(f"refused: {error}")

    peer.messaging.on_error.add(on_error)

    @peer.on_message
    def on_message(message: ReceivedMessage) -> None:
        print(f"{message.sender.ident}, with {sorted(message.sender.names)}: {message.content}")
        message.reply(message.content.upper(), codec="text", ttl=60)

    # It demands that the other side has a certificate of this authority, too.
    files = SSLConfig(
        f"{folder}/listener.key", f"{folder}/listener.crt", ca_certs=f"{folder}/root.crt"
    )
    print("listening on", peer.listen(f"tls://127.0.0.1:{port}", tls=files))
    peer.run()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
