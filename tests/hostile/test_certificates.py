"""The ways of the documentation to tie an ident to a certificate refuse everybody who has none."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from snakemq.link import Address, Link, SSLConfig
from snakemq.messaging import Messaging
from tests.support.running_stack import Stack

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tls_listener.py"
TUTORIAL = ROOT / "docs" / "tutorial.md"

Register = Callable[[Link, Messaging], None]


def of_the_tutorial(link: Link, messaging: Messaging) -> None:
    (block,) = re.findall(
        r"```python alice.py\n(def on_connect.*?on_connect.add\(on_connect\)\n)",
        TUTORIAL.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    exec(block, {"my_link": link, "my_messaging": messaging})


def of_the_example(link: Link, messaging: Messaging) -> None:
    """Take the check out of its ``main()``."""
    source = EXAMPLE.read_text(encoding="utf-8")
    begin = source.index("    def common_name")
    end = source.index("    def on_message_recv")
    lines = [line[4:] for line in source[begin:end].splitlines()]
    names: dict[str, object] = {"link": link, "messaging": messaging}
    exec("\n".join(lines), names)
    messaging.on_connect.add(names["on_connect"])  # type: ignore[arg-type]


RECIPES = {"tutorial": of_the_tutorial, "example": of_the_example}


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.root = str(folder / "root.crt")
        self._authority.cert_pem.write_to_path(self.root)
        self._count = 0

    def issue(self, *names: str, common_name: str | None = None) -> tuple[str, str]:
        self._count += 1
        certificate = self._authority.issue_cert(*names, common_name=common_name)
        key, chain = (str(self._folder / f"{self._count}.{end}") for end in ("key", "crt"))
        certificate.private_key_pem.write_to_path(key)
        certificate.cert_chain_pems[0].write_to_path(chain)
        return key, chain


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=RECIPES)
def alice(request: pytest.FixtureRequest) -> Iterator[Stack]:
    stack = Stack("alice")
    stack.in_loop(lambda: RECIPES[request.param](stack.link, stack.messaging))
    stack.send("bob", b"secret")
    yield stack
    stack.close()


@pytest.fixture
def bob() -> Iterator[Stack]:
    stack = Stack("bob")
    stack.send("alice", b"a lie")
    yield stack
    stack.close()


def listen(
    alice: Stack, authority: Authority, cert_reqs: ssl.VerifyMode = ssl.CERT_REQUIRED
) -> Address:
    key, certificate = authority.issue("localhost", common_name="alice")
    return alice.listen(
        ssl_config=SSLConfig(key, certificate, ca_certs=authority.root, cert_reqs=cert_reqs)
    )


def check_refused(alice: Stack, bob: Stack) -> None:
    """The recipe itself refuses the peer; it has not just failed."""
    alice.until(lambda: alice.disconnected == ["bob"] * 2)  # it has come again
    assert alice.received == bob.received == []
    assert not [problem for problem in alice.problems if problem.error.__cause__]


def test_a_peer_with_the_certificate_is_admitted(
    alice: Stack, bob: Stack, authority: Authority
) -> None:
    key, certificate = authority.issue("bob", common_name="bob")
    bob.dial(listen(alice, authority), SSLConfig(key, certificate))
    bob.until(lambda: bob.received)
    alice.until(lambda: alice.received)


@pytest.mark.parametrize(
    ("names", "common_name"),
    [
        (("mallory",), "mallory"),
        (("mallory",), None),
        ((), "mallory"),
        (("*.bob",), "*"),
        (("bob.example.com",), "bob@example.com"),
    ],
)
def test_a_certificate_of_another_name_is_refused(
    alice: Stack,
    bob: Stack,
    authority: Authority,
    names: tuple[str, ...],
    common_name: str | None,
) -> None:
    """Also if it has no alternative name, or no common one."""
    key, certificate = authority.issue(*names, common_name=common_name)
    bob.dial(listen(alice, authority), SSLConfig(key, certificate))
    check_refused(alice, bob)


def test_a_listener_without_tls_beside_the_other_admits_nobody(
    alice: Stack, bob: Stack, authority: Authority
) -> None:
    listen(alice, authority)
    bob.dial(alice.listen())
    check_refused(alice, bob)


def test_a_certificate_that_nobody_has_verified_proves_nothing(
    alice: Stack, bob: Stack, authority: Authority, tmp_path: Path
) -> None:
    key, certificate = Authority(tmp_path).issue("bob", common_name="bob")
    bob.dial(listen(alice, authority, ssl.CERT_NONE), SSLConfig(key, certificate))
    check_refused(alice, bob)


def test_a_peer_without_a_certificate_is_refused(
    alice: Stack, bob: Stack, authority: Authority
) -> None:
    for cert_reqs in (ssl.CERT_NONE, ssl.CERT_OPTIONAL):
        bob.dial(listen(alice, authority, cert_reqs), SSLConfig())
    check_refused(alice, bob)
