"""A device that dials out, and then does what control.py tells it to.

    python ../tls_certificates.py --self-signed certs control device-1 device-2
    python device.py [NAME] [URL] [FOLDER]

Connects to control.py at URL (tls://127.0.0.1:4000 by default) as NAME (device-1), and dials again
whenever the connection is lost. It obeys only a control program with the certificate that is in
FOLDER (certs) as control.crt; give it that, and its own key and certificate, and nothing else. A
ping each 30 seconds keeps the router from forgetting the connection. Ends on SIGTERM or Ctrl-C.
Needs snakemq[rpc].
"""

import logging
import sys

from snakemq import Peer
from snakemq.identity import Fingerprints
from snakemq.link import SSLConfig


class Lamp:
    """What may be called from outside."""

    def __init__(self) -> None:
        self._state = "off"

    def switch(self, state: str) -> str:
        if state not in ("on", "off"):
            raise ValueError(f"a lamp is on or off, not {state!r}")
        self._state = state
        print("switched", state, flush=True)
        return state

    def state(self) -> str:
        return self._state


def main(name: str = "device-1", url: str = "tls://127.0.0.1:4000", folder: str = "certs") -> None:
    logging.basicConfig(stream=sys.stdout, format="%(message)s")  # tells why it cannot connect
    pins = Fingerprints.of_files({"control": [f"{folder}/control.crt"]})
    bundle = pins.write_bundle(f"{folder}/known-to-{name}.crt")
    tls = SSLConfig(f"{folder}/{name}.key", f"{folder}/{name}.crt", ca_certs=bundle)
    peer = Peer(name, authenticator=pins)
    peer.serve("lamp", Lamp())
    peer.connect(url, tls=tls, ident="control")
    peer.run()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
