"""A liar claims an ident that belongs to another peer, and has a connection that proves something
else, or nothing. Whatever it shows, and whatever is going on: it gets nothing, and disturbs nobody.

    each liar in each situation is a test
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import NotProven, SnakeMQException
from snakemq.identity import (
    AnyOf,
    Authenticator,
    CertificateIdents,
    Fingerprints,
    PreSharedKeys,
    UnixUsers,
)
from snakemq.link import Address, SSLConfig
from snakemq.message import FLAG_PERSISTENT
from snakemq.queues import MemoryQueuesStorage
from snakemq.rpc import RpcClient
from tests.support.certificates import Authority, Files
from tests.support.running_stack import PATIENCE, Stack

from .conftest import Service, serve
from .stranger import (
    PING,
    PONG,
    VERSION,
    Stranger,
    ack,
    features,
    identification,
    message,
    packets,
    rpc_request,
)

BOB = "spiffe://corp.example/bob"
MALLORY = "spiffe://corp.example/mallory"
QUEUED = 200
NOBODY = 65534
BOBS_KEY, MALLORYS_KEY = b"b" * 32, b"m" * 32

HAS_PSK = getattr(ssl, "HAS_PSK", False)

FRAMES_FOR_ANYBODY = {0, 16, 2, 19}
"""The introduction, and that the ident is not proven."""

CLAIM = (VERSION, features(), identification("bob"))
LIES = (
    message(b"a lie"),
    message(rpc_request(args=("a lie",))),
    ack(QUEUED),
    PONG,
    PING,
    identification("bob"),
)


class Connection(Stranger):
    """A stranger over any connected socket."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(PATIENCE)
        self.socket = connected
        self._unread = b""

    def send(self, data: bytes) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            self.socket.sendall(data)

    def hear(self) -> bytes | None:
        try:
            return super().hear()
        except ssl.SSLError:
            return None  # the handshake was refused, or the end came without ceremony


class Alice(Stack):
    """The victim: it has a listener of each kind, and waits for Bob."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.storage = MemoryQueuesStorage()
        super().__init__("alice", storage=self.storage)
        self.authority = authority
        self.other_authority = Authority(folder, "other")
        own = authority.issue(dns=["localhost"], uris=["spiffe://corp.example/alice"])
        bob = authority.issue(uris=[BOB], common_name="bob")
        self.of_bob, self.of_mallory = bob, authority.issue(uris=[MALLORY], common_name="mallory")
        pinned = authority.issue(common_name="bob", self_signed=True)
        ways: list[Authenticator] = [
            CertificateIdents("spiffe://corp.example/{ident}"),
            Fingerprints.of_files({"bob": [pinned.certificate]}),
        ]
        if sys.platform == "linux":
            ways.append(UnixUsers({"bob": os.getuid()}))
        if HAS_PSK:
            ways.append(PreSharedKeys({"bob": BOBS_KEY, "mallory": MALLORYS_KEY}))
        self.messaging.authenticator = AnyOf(*ways)
        # An owner that is silent for that long would be replaced, if it were asked.
        self.messaging.contest_wait = self.messaging.keepalive_wait = 0.2
        self.service = Service()
        self.server, self.client = self.in_loop(lambda: serve(self, self.service))

        def config(requirement: ssl.VerifyMode) -> SSLConfig:
            root = None if requirement == ssl.CERT_NONE else authority.root
            return SSLConfig(*own, ca_certs=root, cert_reqs=requirement)

        self.tls = self.listen(ssl_config=config(ssl.CERT_REQUIRED))
        self.optional = self.listen(ssl_config=config(ssl.CERT_OPTIONAL))
        self.unchecked = self.listen(ssl_config=config(ssl.CERT_NONE))
        self.plain = self.listen()
        if HAS_PSK:
            keys = SSLConfig(psk={"bob": BOBS_KEY, "mallory": MALLORYS_KEY})
            self.keys = self.listen(ssl_config=keys)
        # Others must be allowed to come here; tmp_path is only for this user.
        self.folder = tempfile.mkdtemp(prefix="liars")
        os.chmod(self.folder, 0o755)
        self.unix = str(self.listen(f"{self.folder}/alice.sock"))
        os.chmod(self.unix, 0o777)

    def over_tls(self, files: Files | None, address: Address | None = None) -> ssl.SSLSocket:
        return over_tls(client_context(files), address or self.tls)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.folder)

    @property
    def queued(self) -> int:
        return len(self.storage.get_items("bob"))


def client_context(files: Files | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def over_tls(
    context: ssl.SSLContext, address: Address, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    assert isinstance(address, tuple)
    plain = socket.create_connection(address, timeout=PATIENCE)
    return context.wrap_socket(plain, session=session)


# -- the liars: each connects, and may have proven whatever it can

Liar = Callable[[Alice], socket.socket]
LIARS: dict[str, Liar] = {}


def liar(func: Liar) -> Liar:
    LIARS[func.__name__] = func
    return func


@liar
def with_another_name(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.of_mallory)


@liar
def with_the_name_of_another_kind(alice: Alice) -> socket.socket:
    files = alice.authority.issue(uris=[MALLORY], dns=["bob"], common_name="bob")
    return alice.over_tls(files)


@liar
def with_a_pattern(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.authority.issue(uris=["spiffe://corp.example/*"], dns=["*"]))


@liar
def with_a_name_in_capitals(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.authority.issue(uris=["spiffe://corp.example/BOB"]))


@liar
def without_alternative_names(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.authority.issue(common_name="bob"))


@liar
def without_a_common_name(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.authority.issue(dns=["bob"]))


@liar
def without_any_name(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.authority.issue())


@liar
def with_an_expired_certificate(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.authority.issue(uris=[BOB], ends_in=-timedelta(hours=1)))


@liar
def of_another_authority(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.other_authority.issue(uris=[BOB], common_name="bob"))


@liar
def signed_by_itself(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.authority.issue(uris=[BOB], common_name="bob", self_signed=True))


@liar
def without_a_certificate(alice: Alice) -> socket.socket:
    return alice.over_tls(None)


@liar
def without_one_where_it_is_optional(alice: Alice) -> socket.socket:
    return alice.over_tls(None, alice.optional)


@liar
def of_another_authority_where_it_is_optional(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.other_authority.issue(uris=[BOB]), alice.optional)


@liar
def with_a_certificate_where_none_is_checked(alice: Alice) -> socket.socket:
    return alice.over_tls(alice.other_authority.issue(uris=[BOB]), alice.unchecked)


@liar
def over_the_plain_listener(alice: Alice) -> socket.socket:
    assert isinstance(alice.plain, tuple)
    return socket.create_connection(alice.plain)


@liar
def that_resumes_its_own_session(alice: Alice) -> socket.socket:
    return resumed(client_context(alice.of_mallory), alice.tls)


@liar
def that_resumes_a_session_without_a_certificate(alice: Alice) -> socket.socket:
    """It has one by now, which the resumed session does not show."""
    context = client_context(None)
    session = session_of(context, alice.optional)
    files = alice.of_mallory
    context.load_cert_chain(files.certificate, files.key)
    return over_tls(context, alice.optional, session)


@liar
def of_another_unix_user(alice: Alice) -> socket.socket:
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    return connected_as(NOBODY, alice.unix)


@liar
def with_a_key_of_its_own(alice: Alice) -> socket.socket:
    if sys.version_info < (3, 13) or not HAS_PSK:
        pytest.skip("needs Python 3.13")
    context = client_context(None)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_psk_client_callback(lambda hint: ("mallory", MALLORYS_KEY))
    return over_tls(context, alice.keys)


@liar
def with_a_wrong_key(alice: Alice) -> socket.socket:
    if sys.version_info < (3, 13) or not HAS_PSK:
        pytest.skip("needs Python 3.13")
    context = client_context(None)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_psk_client_callback(lambda hint: ("bob", MALLORYS_KEY))
    with pytest.raises(ssl.SSLError):
        over_tls(context, alice.keys)
    return over_the_plain_listener(alice)


def session_of(context: ssl.SSLContext, address: Address) -> ssl.SSLSession:
    """Make a connection, so that there is a session to resume."""
    first = Connection(tls := over_tls(context, address))
    first.hear()  # in TLS 1.3 the session comes with the first data
    session = tls.session
    assert session is not None
    first.close()
    return session


def resumed(context: ssl.SSLContext, address: Address) -> ssl.SSLSocket:
    again = over_tls(context, address, session_of(context, address))
    assert again.session_reused
    return again


AS_ANOTHER_USER = """
import os, socket, sys
parent = socket.socket(fileno=int(sys.argv[1]))
os.setuid(int(sys.argv[2]))
connected = socket.socket(socket.AF_UNIX)
connected.connect(sys.argv[3])
socket.send_fds(parent, [b"here"], [connected.fileno()])
"""


def connected_as(uid: int, path: str) -> socket.socket:
    """A socket that a process of another user has connected."""
    here, there = socket.socketpair()
    with here, there:
        command = [sys.executable, "-c", AS_ANOTHER_USER, str(there.fileno()), str(uid), path]
        subprocess.run(command, check=True, pass_fds=[there.fileno()], timeout=60)
        _, (descriptor,), _, _ = socket.recv_fds(here, 16, 1)
    return socket.socket(fileno=descriptor)


# -- the situations: what is going on while the liar comes, and that it goes on


def data_of(stack: Stack) -> list[bytes]:
    """What was received, without waiting: the requests and replies of RPC among it."""
    return [it.data for it in stack.received]


class Situation:
    """Nothing is going on."""

    def __init__(self, alice: Alice) -> None:
        self.alice = alice

    def check(self) -> None:
        """Nothing was disturbed."""

    def close(self) -> None:
        pass


class Away(Situation):
    """Bob is away, and 200 messages and some calls wait for him."""

    def __init__(self, alice: Alice) -> None:
        super().__init__(alice)
        for number in range(QUEUED):
            alice.send("bob", b"secret", flags=FLAG_PERSISTENT if number % 2 else 0)
        proxy = alice.client.get_proxy("bob", "service")
        self.calls: list[Future[Any]] = [proxy.echo.future("secret") for _ in range(10)]

    def check(self) -> None:
        alice = self.alice
        assert alice.connected == alice.sent == alice.dropped == []
        assert alice.queued == QUEUED // 2
        assert not any(call.done() for call in self.calls)
        # Now he comes, and there is everything.
        bob = Stack("bob")
        try:
            service = Service()
            bob.in_loop(lambda: serve(bob, service))
            bob.dial(alice.tls, SSLConfig(*alice.of_bob, ca_certs=alice.authority.root))
            bob.until(lambda: data_of(bob).count(b"secret") == QUEUED)
            for call in self.calls:
                assert call.result(PATIENCE) == (("secret",), {})
        finally:
            bob.close()
        assert alice.connected == ["bob"]


class Slow(Situation):
    """Bob is connected, and says nothing for longer than a challenge would take."""

    def __init__(self, alice: Alice) -> None:
        super().__init__(alice)
        self.bob = Connection(alice.over_tls(alice.of_bob))
        self.bob.say(*CLAIM)
        alice.until_connected("bob")
        for _ in range(QUEUED):
            alice.send("bob", b"for bob", flags=FLAG_PERSISTENT)

    def check(self) -> None:
        """He was not asked whether he is alive, and is still there."""
        heard = [self.bob.hear_until(3) for _ in range(QUEUED)]
        assert all(frame.endswith(b"for bob") for frame in heard)
        self.bob.say(PING)
        assert self.bob.hear() == PONG
        assert self.alice.disconnected == []
        assert self.alice.queued == QUEUED

    def close(self) -> None:
        self.bob.close()


class Contest(Situation):
    """Bob has come back over a new connection, and the old one is asked for a sign of life."""

    def __init__(self, alice: Alice) -> None:
        super().__init__(alice)
        alice.messaging.contest_wait = alice.messaging.keepalive_wait = 60.0
        self.old, self.new = (Connection(alice.over_tls(alice.of_bob)) for _ in range(2))
        self.old.say(*CLAIM)
        alice.until_connected("bob")
        # Its epoch says that it is another process.
        restarted = features(epoch=8)
        self.new.say(VERSION, restarted, identification("bob"), message(b"from bob"))
        self.old.hear_until(PING[0])

    def check(self) -> None:
        """It was not disturbed: the old one ends, and the new one is admitted."""
        alice = self.alice
        assert alice.connected == ["bob"]
        alice.send("bob", b"for bob")
        self.old.close()
        assert self.new.hear_until(3).endswith(b"for bob")
        alice.until(lambda: data_of(alice) == [b"from bob"])
        assert alice.connected == ["bob"] * 2

    def close(self) -> None:
        self.new.close()
        self.old.close()


class Load(Situation):
    """Bob is connected, and messages and calls go in both directions."""

    def __init__(self, alice: Alice) -> None:
        super().__init__(alice)
        self.bob = bob = Stack("bob")
        self.service = Service()
        _, client = bob.in_loop(lambda: serve(bob, self.service))
        bob.dial(alice.tls, SSLConfig(*alice.of_bob, ca_certs=alice.authority.root))
        alice.until_connected("bob")
        self.calls = self._calls(client, "alice") + self._calls(alice.client, "bob")
        for number in range(QUEUED):
            alice.send("bob", b"for bob", flags=FLAG_PERSISTENT if number % 2 else 0)
            bob.send("alice", b"from bob")

    @staticmethod
    def _calls(client: RpcClient, ident: str) -> list[Future[Any]]:
        echo = client.get_proxy(ident, "service").echo
        return [echo.future("from bob") for _ in range(20)]

    def check(self) -> None:
        alice, bob = self.alice, self.bob
        for call in self.calls:
            assert call.result(PATIENCE) == (("from bob",), {})
        bob.until(lambda: data_of(bob).count(b"for bob") == QUEUED)
        alice.until(lambda: data_of(alice).count(b"from bob") == QUEUED)
        assert alice.disconnected == bob.disconnected == []
        assert bob.problems == []

    def close(self) -> None:
        self.bob.close()


SITUATIONS = (Away, Slow, Contest, Load)


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[Alice]:
    stack = Alice(tmp_path, Authority(tmp_path))
    yield stack
    stack.close()


@pytest.fixture(params=SITUATIONS, ids=lambda it: it.__name__.lower())
def situation(request: pytest.FixtureRequest, alice: Alice) -> Iterator[Situation]:
    going_on: Situation = request.param(alice)
    yield going_on
    going_on.close()


@pytest.mark.parametrize("name", LIARS)
def test_a_liar_gets_nothing_and_disturbs_nobody(
    alice: Alice, situation: Situation, name: str
) -> None:
    for said in ((*CLAIM, *LIES), (VERSION, identification("bob"), *LIES)):
        stranger = Connection(LIARS[name](alice))
        stranger.send(packets(*said))
        heard = stranger.hear_to_the_end()
        stranger.close()
        assert {frame[0] for frame in heard} <= FRAMES_FOR_ANYBODY
    situation.check()
    assert not [it for it in alice.received if b"lie" in it.data]
    assert not [call for call in alice.service.echoed if "a lie" in str(call)]
    assert alice.messaging.stats().connected == len(alice.connected)


def test_the_owner_is_admitted_in_each_way(alice: Alice) -> None:
    """So that the liars are not refused for another reason."""
    ways: list[Callable[[], socket.socket]] = [
        lambda: alice.over_tls(alice.of_bob),
        lambda: alice.over_tls(alice.of_bob, alice.optional),
        lambda: resumed(client_context(alice.of_bob), alice.tls),
    ]
    if sys.platform == "linux":
        ways.append(lambda: connected_as(os.getuid(), alice.unix))
    for times, way in enumerate(ways, 1):
        bob = Connection(way())
        bob.say(*CLAIM, message(b"from bob", uuid=bytes([times]) * 16))
        alice.until(lambda: len(alice.received) == times)  # noqa: B023
        bob.close()
        alice.until(lambda: len(alice.disconnected) == times)  # noqa: B023
    assert not [it for it in alice.problems if isinstance(it.error, NotProven)]


@pytest.mark.skipif(sys.version_info < (3, 13) or not HAS_PSK, reason="needs Python 3.13")
def test_the_owner_of_a_key_is_admitted(alice: Alice) -> None:
    bob = Stack("bob")
    try:
        bob.messaging.authenticator = PreSharedKeys({"alice": BOBS_KEY})
        bob.in_loop(
            lambda: bob.link.add_connector(
                alice.keys, 0.2, SSLConfig(psk=("bob", BOBS_KEY)), ident="alice"
            )
        )
        alice.send("bob", b"for bob")
        bob.until(lambda: data_of(bob) == [b"for bob"])
    finally:
        bob.close()


def test_the_refusals_are_counted_and_reported(alice: Alice) -> None:
    for count in (1, 2):
        stranger = Connection(with_another_name(alice))
        stranger.say(*CLAIM)
        stranger.hear_to_the_end()
        stranger.close()
        alice.until(lambda: len(alice.problems) == count)  # noqa: B023
    errors: list[SnakeMQException | Exception] = [problem.error for problem in alice.problems]
    assert {type(error) for error in errors} == {NotProven}
    assert alice.messaging.stats().not_proven == 2


def test_a_liar_that_is_dialled_learns_nothing(alice: Alice, tmp_path: Path) -> None:
    """The other direction: a liar takes the address of Bob, with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(alice.of_mallory.certificate, alice.of_mallory.key)
    alice.send("bob", b"secret")
    alice.send("mallory", b"secret")
    config = SSLConfig(*alice.of_bob, ca_certs=alice.authority.root)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        alice.in_loop(lambda: alice.link.add_connector(address, 0.1, config, ident="bob"))
        for ident in ("mallory", "bob"):
            accepted, _ = listener.accept()
            stranger = Connection(context.wrap_socket(accepted, server_side=True))
            stranger.say(VERSION, features(), identification(ident), *LIES)
            assert {frame[0] for frame in stranger.hear_to_the_end()} <= {19}
            stranger.close()
    assert alice.received == alice.connected == []
