"""Listens over TLS; both sides prove who they are.

    python tls_certificates.py certs                  once
    python tls_listener.py [PORT] [FOLDER]
    python tls_connector.py [PORT] [FOLDER]           in another terminal

A peer can claim any ident. Here an authenticator compares it with the certificate of the peer,
before anything is sent to it or taken from it. Ends on Ctrl-C.
"""

import ssl
import sys

from snakemq.exceptions import NotProven
from snakemq.identity import CertificateIdents
from snakemq.link import Link, SSLConfig
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


def main(port: str = "4000", folder: str = "certs") -> None:
    link = Link()
    messaging = Messaging(
        "listener",
        "",
        Packeter(link),
        authenticator=CertificateIdents("spiffe://corp.example/{ident}"),
    )

    def on_connect(conn_id: str, ident: str) -> None:
        print(f"{ident} is here, with {sorted(messaging.identity(conn_id).names)}")

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")
        messaging.send_message(ident, Message(message.data.upper(), ttl=60))

    def on_error(conn_id: str | None, error: Exception) -> None:
        if isinstance(error, NotProven):
            print(f"refused: {error}")

    messaging.on_connect.add(on_connect)
    messaging.on_message_recv.add(on_message_recv)
    messaging.on_error.add(on_error)

    config = SSLConfig(
        f"{folder}/listener.key",
        f"{folder}/listener.crt",
        ca_certs=f"{folder}/root.crt",
        cert_reqs=ssl.CERT_REQUIRED,
    )
    print("listening on", link.add_listener(("127.0.0.1", int(port)), ssl_config=config))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*sys.argv[1:])
