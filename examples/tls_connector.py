"""Connects over TLS; both sides prove who they are.

    python tls_connector.py [PORT] [FOLDER] [IDENT]

See tls_listener.py. Ends when the answer is there, or on Ctrl-C. If IDENT is not "connector", it
does not match the certificate, so the listener closes each connection; then this ends after the
fifth.
"""

import ssl
import sys

from snakemq.identity import CertificateIdents
from snakemq.link import Link, SSLConfig
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


def main(port: str = "4000", folder: str = "certs", ident: str = "connector") -> None:
    link = Link()
    authenticator = CertificateIdents("spiffe://corp.example/{ident}")
    messaging = Messaging(ident, "", Packeter(link), authenticator=authenticator)
    refusals = 0

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")
        link.stop()

    def on_disconnect(conn_id: str) -> None:
        nonlocal refusals
        refusals += 1
        if refusals == 5:
            print("refused")
            link.stop()

    messaging.on_message_recv.add(on_message_recv)
    # of the link: a connection that is refused is never announced by messaging
    link.on_disconnect.add(on_disconnect)
    messaging.send_message("listener", Message(b"hello", ttl=60))

    config = SSLConfig(
        f"{folder}/connector.key",
        f"{folder}/connector.crt",
        ca_certs=f"{folder}/root.crt",
        cert_reqs=ssl.CERT_REQUIRED,
        check_hostname=True,  # the listener's certificate must be made out to the host we dial
    )
    # Nobody else than the listener gets to know who we are.
    link.add_connector(("localhost", int(port)), ssl_config=config, ident="listener")
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*sys.argv[1:])
