"""Connects over TLS; both sides prove who they are.

    python tls_connector.py [PORT] [FOLDER] [IDENT]

See tls_listener.py. Ends when the answer is there, or on Ctrl-C. If IDENT is not "connector", it
does not match the certificate, so the listener refuses it and says why; then this ends, too.
"""

import sys

from snakemq import Peer
from snakemq.identity import CertificateIdents
from snakemq.link import SSLConfig
from snakemq.peer import ReceivedMessage


def main(port: str = "4000", folder: str = "certs", ident: str = "connector") -> None:
    peer = Peer(ident, authenticator=CertificateIdents("spiffe://corp.example/{ident}"))

    @peer.on_message
    def on_message(message: ReceivedMessage) -> None:
        print(f"{message.sender.ident}: {message.content}")
        peer.stop()

    def on_error(conn_id: str | None, error: Exception) -> None:
        print(error)
        peer.stop()

    peer.messaging.on_error.add(on_error)

    files = SSLConfig(
        f"{folder}/connector.key",
        f"{folder}/connector.crt",
        ca_certs=f"{folder}/root.crt",
        check_hostname=True,  # the listener's certificate must be made out to the host we dial
    )
    # Nobody else than the listener gets to know who we are.
    peer.connect(f"tls://localhost:{port}", tls=files, ident="listener")
    peer.send("listener", "hello", codec="text", ttl=60)
    peer.run()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
