"""Listens over TLS; both sides prove who they are.

    python tls_certificates.py certs                  once
    python tls_listener.py [PORT] [FOLDER]
    python tls_connector.py [PORT] [FOLDER]           in another terminal

A peer can claim any ident; only its certificate is proven. So this listener takes messages from a
peer only if the common name in its certificate is its ident. Ends on Ctrl-C.
"""

import ssl
import sys

from snakemq.link import Link, SSLConfig
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


def main(port: str = "4000", folder: str = "certs") -> None:
    link = Link()
    messaging = Messaging("listener", "", Packeter(link))

    def common_name(conn_id: str) -> str | None:
        """Return the common name that is proven, or None if there is not exactly one."""
        certificate = link.get_socket_by_conn(conn_id).getpeercert()
        if not isinstance(certificate, dict):  # without TLS, or without a certificate
            return None
        names = [
            value
            for field in certificate.get("subject", ())
            for key, value in field
            if key == "commonName"
        ]
        return names[0] if len(names) == 1 else None

    def on_connect(conn_id: str, ident: str) -> None:
        name = common_name(conn_id)
        if name is None or name != ident:
            print(f"{name or 'a stranger'} claims to be {ident}")
            link.close(conn_id)
            return
        print(f"{ident} is here and has proven it")

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")
        messaging.send_message(ident, Message(message.data.upper(), ttl=60))

    messaging.on_connect.add(on_connect)
    messaging.on_message_recv.add(on_message_recv)

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
