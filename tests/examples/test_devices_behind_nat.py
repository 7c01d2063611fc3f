"""examples/devices_behind_nat: devices dial out, prove who they are, and are called."""

import re
import shutil
from pathlib import Path

from tests.support.processes import Script, Scripts

from .endings import terminate, url_of


def online(control: Script) -> list[str]:
    begin = len(control.lines)
    control.type("online")
    control.wait_for("that is all")
    return control.lines[begin:-1]


def wait_until_online(control: Script, *idents: str) -> None:
    while (found := [line.split()[0] for line in online(control)]) != [*idents]:
        assert control.process.poll() is None, found


def tell(control: Script, command: str) -> str:
    control.type(command)
    answer = control.read_line()
    assert answer is not None, control
    return answer


def test_devices_with_pinned_certificates_are_called(run: Scripts, tmp_path: Path) -> None:
    for folder, names in (
        ("certs", ["control", "device-1", "device-2"]),
        ("stolen", ["control", "device-2"]),
    ):
        assert run.start("tls_certificates.py", "--self-signed", folder, *names).wait() == 0
    # The thief knows where to dial and what the certificates are, but has another key.
    shutil.copy(tmp_path / "certs" / "control.crt", tmp_path / "stolen")

    control = run.start("devices_behind_nat/control.py", "tls://127.0.0.1:0", "certs", asks=True)
    url = url_of(control)
    assert tell(control, "device-1 state").startswith("failed: 'device-1' is not connected")
    first, second = (
        run.start("devices_behind_nat/device.py", name, url, "certs")
        for name in ("device-1", "device-2")
    )
    wait_until_online(control, "device-1", "device-2")
    for line in online(control):
        assert re.fullmatch(r"device-\d since [\d:]{8} Proof.FINGERPRINT", line)

    assert tell(control, "device-1 switch on") == "device-1 says on"
    assert tell(control, "device-1 state") == "device-1 says on"
    assert tell(control, "device-2 state") == "device-2 says off"
    assert tell(control, "device-2 switch up") == "failed: a lamp is on or off, not 'up'"
    assert tell(control, "device-2 explode").startswith("failed: ")
    first.wait_for("switched on")

    second.kill()
    wait_until_online(control, "device-1")
    assert tell(control, "device-2 state").startswith("failed: 'device-2' is not connected")
    thief = run.start("devices_behind_nat/device.py", "device-2", url, "stolen")
    thief.wait_for("the other side refuses the certificate of this side")
    assert len(online(control)) == 1

    run.start("devices_behind_nat/device.py", "device-2", url, "certs")
    wait_until_online(control, "device-1", "device-2")
    control.end_input()
    assert control.wait() == 0, control
    terminate(first)
