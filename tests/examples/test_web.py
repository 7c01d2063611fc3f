"""examples/web: a browser sees who is online, switches a lamp, and is told what happens."""

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.support.browser import Page, browser, find
from tests.support.processes import DEADLINE, Script, Scripts

from .endings import terminate, url_of

CHROMIUM = find()
MISSING = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
if CHROMIUM is None:
    MISSING.append("chromium")


@pytest.fixture(autouse=True)
def what_is_needed() -> None:
    if MISSING:
        reason = f"needs {', '.join(MISSING)}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture
def service(run: Scripts) -> Script:
    return run.start("web/service.py", 0, "tcp://127.0.0.1:0")


@pytest.fixture
def site(service: Script) -> str:
    return service.wait_for("open").split()[1]


@pytest.fixture
def url(service: Script, site: str) -> str:
    return url_of(service)


@pytest.fixture
def page(site: str, url: str) -> Iterator[Page]:
    assert CHROMIUM is not None
    with browser(CHROMIUM) as page:
        page.open(site)
        yield page


def post(address: str) -> tuple[int, str]:
    """The status and the text of an answer."""
    try:
        with urlopen(Request(address, method="POST"), timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def end(service: Script) -> None:
    # uvicorn has the signal end the process at last, when everything is closed.
    terminate(service, -signal.SIGTERM)
    assert service.lines[-1] == "bye"
    assert "Traceback" not in service.errors()


def test_page_shows_devices_and_their_events_and_calls_them(
    run: Scripts, service: Script, url: str, page: Page
) -> None:
    def is_online(device: str) -> str:
        return f"document.querySelector('[data-device={device}]')"

    lamps = {it: run.start("web/device.py", it, url) for it in ("device-1", "device-2")}
    for device in lamps:
        page.wait_until(is_online(device))
    page.evaluate(f"{is_online('device-1')}.querySelector('[data-state=on]').click()")
    page.wait_until("document.querySelector('#news').textContent == 'device-1: switched on'")
    lamps["device-2"].kill()
    page.wait_until(f"!{is_online('device-2')}")
    page.evaluate(f"{is_online('device-1')}.querySelector('[data-state=off]').click()")
    page.wait_until("document.querySelector('#news').lastChild.textContent.endsWith('off')")
    end(service)


def test_calls_of_devices_that_are_away_or_slow_or_refuse_end(
    run: Scripts, service: Script, site: str, url: str
) -> None:
    absent = post(f"{site}/devices/device-1/switch?state=on")
    assert absent == (404, '{"detail":"device-1 is not online"}')
    run.start("web/device.py", "device-1", url)
    run.start("web/device.py", "slow", url, 3600)
    with urlopen(f"{site}/events", timeout=DEADLINE) as events:
        while events.readline() != b'data: ["device-1", "slow"]\n':
            pass
    assert post(f"{site}/devices/device-1/switch?state=on") == (200, '"on"')
    refused = post(f"{site}/devices/device-1/switch?state=blue")
    assert refused == (400, '{"detail":"a lamp is on or off, not \'blue\'"}')
    late = post(f"{site}/devices/slow/switch?state=on&timeout=0.2")
    assert late == (504, '{"detail":"no answer in 0.2 s"}')
    end(service)
