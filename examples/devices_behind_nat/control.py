"""Calls devices that nobody can dial, because they are behind NAT or a firewall: they dial out.

    python control.py [URL] [FOLDER]

Listens at URL (tls://0.0.0.0:4000 by default; port 0 is any free one) as "control", and reads
commands from the terminal:

    online                      lists the devices that are connected
    device-1 switch on          has device-1 do something; "device-1 state" asks for it

A device is whose certificate is in FOLDER (certs) as NAME.crt, and nobody else can connect. For how
to make the certificates see device.py. Ends with the input (Ctrl-D), or on Ctrl-C. Needs
snakemq[rpc].
"""

import sys
from pathlib import Path

from snakemq import Peer
from snakemq.identity import Fingerprints
from snakemq.link import SSLConfig
from snakemq.rpc import Error


def main(url: str = "tls://0.0.0.0:4000", folder: str = "certs") -> None:
    pins = Fingerprints.of_files({it.stem: [it] for it in Path(folder).glob("device-*.crt")})
    bundle = pins.write_bundle(f"{folder}/known-to-control.crt")
    tls = SSLConfig(f"{folder}/control.key", f"{folder}/control.crt", ca_certs=bundle)
    with Peer("control", authenticator=pins, call_timeout=10) as peer:
        print("listening on", peer.listen(url, tls=tls), flush=True)
        for line in sys.stdin:
            match line.split():
                case ["online"]:
                    for ident, device in sorted(peer.peers().items()):
                        print(ident, "since", f"{device.since:%H:%M:%S}", device.identity.proven)
                    print("that is all", flush=True)
                case [ident, method, *arguments]:
                    try:
                        # A device that is away fails the call at once.
                        device = peer.remote(ident, "lamp", if_away="fail")
                        print(ident, "says", getattr(device, method)(*arguments), flush=True)
                    except (Error, ValueError, TypeError) as exc:
                        print("failed:", exc, flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print("bye")
