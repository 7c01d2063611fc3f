"""Every example runs, says what its docstring promises, and ends as it promises."""

import re
import signal
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.servers import MariaDb, MongoDb, PostgreSql, Server
from tests.servers.fixtures import started
from tests.support.processes import DEADLINE, Script, Scripts, scripts

from .endings import EXAMPLES, press_ctrl_c


def port_of(listener: Script) -> int:
    address = listener.wait_for("listening on")
    match = re.search(r"\('127.0.0.1', (\d+)\)|(?:tcp|tls)://127.0.0.1:(\d+)", address)
    assert match is not None, address
    return int(match[1] or match[2])


def test_every_example_is_tested_here_and_says_how_to_run_it() -> None:
    source = "".join(test.read_text() for test in Path(__file__).parent.glob("test_*.py"))
    for example in EXAMPLES.rglob("*.py"):
        assert f'"{example.relative_to(EXAMPLES).as_posix()}"' in source
        assert f"\n    python {example.name}" in example.read_text()


def test_every_example_is_in_the_list() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for example in EXAMPLES.glob("*.py"):
        assert f"[{example.name}]({example.name})" in listed


def test_link(run: Scripts) -> None:
    listener = run.start("link_listener.py", 0)
    connector = run.start("link_connector.py", port_of(listener), "one", "two", "x" * 1000)
    assert connector.wait() == 0, connector
    answers = ["answer ONE", "answer TWO", "answer " + "X" * 1000]
    assert connector.lines == ["connected", *answers, "disconnected"]
    press_ctrl_c(listener)
    assert listener.lines[1:-1] == ["received one", "received two", "received " + "x" * 1000]


def test_link_ends_a_connection_whose_line_never_ends(run: Scripts) -> None:
    listener = run.start("link_listener.py", 0)
    with socket.create_connection(("127.0.0.1", port_of(listener)), DEADLINE) as connection:
        connection.sendall(b"x" * (64 * 1024 + 1))
        assert connection.recv(1) == b""
    press_ctrl_c(listener)


def test_packeter(run: Scripts) -> None:
    listener = run.start("packeter_listener.py", 0)
    connector = run.start("packeter_connector.py", port_of(listener))
    assert connector.wait() == 0, connector
    received = [line for line in connector.lines if line.startswith("received")]
    assert received == [
        "received 5 bytes: b'olleh'",
        "received 0 bytes: b''",
        f"received 1000000 bytes: {b'x' * 20!r}",
    ]
    # Once it is answered, a packet must have been reported as sent.
    sent = [line for line in connector.lines if line.endswith("is sent")]
    assert sent == ["packet 1 is sent", "packet 2 is sent", "packet 3 is sent"]
    listener.wait_for("disconnected")
    press_ctrl_c(listener)


@pytest.mark.parametrize("death", ["kill", "interrupt"])
def test_work_that_a_worker_leaves_unfinished_is_done_by_the_next(run: Scripts, death: str) -> None:
    worker = run.start("peer_worker.py", "tcp://127.0.0.1:0", 2)
    url = worker.wait_for("listening on").removeprefix("listening on ")
    texts = ["one", "two", "three", "four", "five"]
    client = run.start("peer_client.py", url, *texts)
    worker.wait_for("begin three")
    if death == "kill":
        worker.kill()
    else:
        press_ctrl_c(worker)
    finished = [line for line in worker.lines if line.startswith("done")]
    assert len(finished) < len(texts)
    worker = run.start("peer_worker.py", url, 2)
    assert client.wait() == 0, client
    # One that was answered and not acknowledged in time may be answered twice.
    assert {*client.lines} <= {text.upper() for text in texts}
    press_ctrl_c(worker)


def test_messaging(run: Scripts) -> None:
    listener = run.start("messaging_listener.py", 0)
    connector = run.start("messaging_connector.py", port_of(listener), "hello", "you")
    assert connector.wait() == 0, connector
    assert connector.lines == ["listener: HELLO", "listener: YOU"]
    listener.wait_for("connector is away")
    press_ctrl_c(listener)
    assert listener.lines[1:-1] == [
        "connector is here",
        "connector: hello",
        "connector: you",
        "connector is away",
    ]


def test_messages_wait_for_a_listener_that_comes_later(run: Scripts) -> None:
    first = run.start("messaging_listener.py", 0)
    port = port_of(first)
    first.kill()
    connector = run.start("messaging_connector.py", port)
    second = run.start("messaging_listener.py", port)
    assert connector.wait() == 0, connector
    assert connector.lines == ["listener: HELLO", "listener: HOW ARE YOU?"]
    press_ctrl_c(second)


def test_application_with_its_tests(run: Scripts) -> None:
    tests = run.start("testing_an_alarm.py")
    assert tests.wait() == 0, tests
    assert "Ran 4 tests" in tests.errors()


def test_receive_hook(run: Scripts) -> None:
    listener = run.start("receive_hook.py", 0)
    texts = ["log:disk is full", "add:1 2 3", "what?"]
    connector = run.start("messaging_connector.py", port_of(listener), *texts)
    assert connector.wait() == 0, connector
    assert connector.lines == ["listener: noted", "listener: 6", "listener: no such service"]
    press_ctrl_c(listener)
    assert "log of connector: disk is full" in listener.lines
    assert listener.lines.count("5 bytes from connector") == 1


@pytest.mark.parametrize("death", ["kill", "interrupt"])
def test_persistent_queue(run: Scripts, death: str) -> None:
    listener = run.start("messaging_listener.py", 0)
    port = port_of(listener)
    listener.kill()

    sender = run.start("persistent_queue.py", port, "sqlite:///queue.db", "one", "two", "three")
    sender.wait_for("queued three")
    if death == "kill":
        sender.kill()
    else:
        press_ctrl_c(sender)
        assert sender.lines[-1] == "bye; 3 messages stay"

    listener = run.start("messaging_listener.py", port)
    sender = run.start("persistent_queue.py", port, "sqlite:///queue.db")
    assert sender.wait() == 0, sender
    assert sender.lines == ["3 messages are waiting", "all delivered"]
    for text in ("one", "two", "three"):
        assert listener.wait_for("persistent sender:") == f"persistent sender: {text}"

    sender = run.start("persistent_queue.py", port, "sqlite:///queue.db")
    assert sender.wait() == 0, sender
    assert sender.lines == ["0 messages are waiting"]


@pytest.mark.parametrize(
    "kind",
    [
        None,
        *(pytest.param(kind, marks=pytest.mark.server) for kind in (PostgreSql, MariaDb, MongoDb)),
    ],
)
def test_persistent_queue_in_any_storage(run: Scripts, kind: type[Server] | None) -> None:
    with started(kind) if kind is not None else nullcontext() as server:
        url = server.url if server is not None else "sqlite:///queue.db"
        listener = run.start("messaging_listener.py", 0)
        port = port_of(listener)
        listener.kill()
        sender = run.start("persistent_queue.py", port, url, "one", "two")
        sender.wait_for("queued two")
        sender.kill()
        if server is not None:
            server.crash()
            server.start()
        listener = run.start("messaging_listener.py", port)
        sender = run.start("persistent_queue.py", port, url)
        assert sender.wait() == 0, sender
        assert sender.lines == ["2 messages are waiting", "all delivered"]
        for text in ("one", "two"):
            assert listener.wait_for("persistent sender:") == f"persistent sender: {text}"


@pytest.mark.server
@pytest.mark.parametrize(
    ("example", "kind", "also"),
    [
        ("storage_postgresql.py", PostgreSql, []),
        ("storage_mysql.py", MariaDb, ["too large for this server, and not queued"]),
        ("storage_mongodb.py", MongoDb, []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_storage_on_a_server(
    run: Scripts, example: str, kind: type[Server], also: list[str]
) -> None:
    with started(kind) as server:
        first = run.start(example, server.url, "one", "two")
        assert first.wait() == 0, first
        assert first.lines == [*also, "2 messages wait for warehouse"]
        server.crash()
        absent = run.start(example, server.url)
        assert absent.wait() == 1, absent
        server.start()
        second = run.start(example, server.url, "three")
        assert second.wait() == 0, second
        assert second.lines == [*also, "3 messages wait for warehouse"]


def test_worker_threads(run: Scripts) -> None:
    listener = run.start("messaging_listener.py", 0)
    workers = run.start("worker_threads.py", port_of(listener), 3)
    assert workers.wait() == 0, workers
    assert workers.lines == ["300 answers, each thread's in order: True"]


def test_other_messages_do_not_wait_for_a_deferred_one(run: Scripts) -> None:
    listener = run.start("defer_ack.py", 0)
    connector = run.start("messaging_connector.py", port_of(listener), "slow one", "quick two")
    assert connector.wait() == 0, connector
    assert connector.lines == ["listener: QUICK TWO", "listener: SLOW ONE"]
    press_ctrl_c(listener)


def test_a_deferred_message_is_sent_again_if_the_receiver_dies(run: Scripts) -> None:
    listener = run.start("defer_ack.py", 0)
    port = port_of(listener)
    connector = run.start("messaging_connector.py", port, "slow one")
    listener.wait_for("begin slow one")
    listener.kill()
    listener = run.start("defer_ack.py", port)
    assert connector.wait() == 0, connector
    assert connector.lines == ["listener: SLOW ONE"]
    press_ctrl_c(listener)
    assert "begin slow one" in listener.lines


def test_dead_letters_are_kept_and_offered_again_when_they_can_be_processed(run: Scripts) -> None:
    listener = run.start("dead_letters.py", "dead.db", "listen", 0)
    port = port_of(listener)
    connector = run.start("messaging_connector.py", port, "21", "one", "two")
    assert connector.wait() == 0, connector
    assert sorted(connector.lines) == [
        "listener: 42",
        "one was dropped: 'one' is not a number",
        "two was dropped: 'two' is not a number",
    ]
    press_ctrl_c(listener)

    def lines_of(command: str) -> list[str]:
        script = run.start("dead_letters.py", "dead.db", command)
        assert script.wait() == 0, script
        return script.lines

    letters = lines_of("list")
    assert [line.partition(" from ")[2] for line in letters] == [
        "connector: b'one': 'one' is not a number",
        "connector: b'two': 'two' is not a number",
    ]
    assert lines_of("requeue") == []
    listener = run.start("dead_letters.py", "dead.db", "listen", 0, "one")
    listener.wait_for("connector sent one: one one (requeued)")
    listener.wait_for("kept two")
    press_ctrl_c(listener)
    (letter,) = lines_of("list")
    assert "b'two'" in letter
    assert lines_of("purge") == lines_of("list") == []


def test_queue_limits(run: Scripts) -> None:
    listener = run.start("messaging_listener.py", 0)
    limited = run.start("queue_limits.py", port_of(listener))
    assert limited.wait() == 0, limited
    assert limited.lines == [
        "refused 2 of 5",
        "the first message to display is dropped",
        "100 answers, with 3 messages on their way at most",
    ]


def test_receipts(run: Scripts) -> None:
    listener = run.start("messaging_listener.py", 0)
    sender = run.start("receipts.py", port_of(listener))
    assert sender.wait() == 0, sender
    assert sender.lines == [
        "the first message is delivered",
        "100 messages are delivered",
        "the message was dropped: expired",
        "the last message is delivered",
    ]


def test_service_that_is_ended_sends_what_it_has(run: Scripts) -> None:
    listener = run.start("messaging_listener.py", 0)
    producer = run.start("drain_on_sigterm.py", port_of(listener), 1000)
    producer.wait_for("sent")
    producer.process.send_signal(signal.SIGTERM)
    assert producer.wait() == 0, producer
    assert producer.lines == ["sent 1000", "bye"]
    listener.wait_for("producer is away")
    press_ctrl_c(listener)
    received = [line for line in listener.lines if line.startswith("producer: ")]
    assert received == [f"producer: {number}" for number in range(1000)]


def test_unit_of_systemd_grants_more_time_than_the_service_needs() -> None:
    unit = (EXAMPLES / "drain_on_sigterm.service").read_text()
    source = (EXAMPLES / "drain_on_sigterm.py").read_text()
    granted = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    needed = re.search(r"^SECONDS_TO_DRAIN = ([\d.]+)$", source, re.MULTILINE)
    assert granted is not None
    assert needed is not None
    assert float(granted[1]) > float(needed[1])


def test_stats(run: Scripts) -> None:
    listener = run.start("messaging_listener.py", 0)
    stats = run.start("stats.py", port_of(listener))
    assert stats.wait() == 0, stats
    (round_trip,) = (line for line in stats.lines if "round trip" in line)
    assert re.fullmatch(r"listener: a round trip takes [\d.]+ ms", round_trip)
    assert sorted(line for line in stats.lines if line != round_trip) == [
        "connections: 1, reconnected: 0",
        "listener: 0 queued, 0 in flight",
        "listener: 100 delivered",
        "listener: 100 sent, 0 of them again",
        "nobody: 0 delivered",
        "nobody: 0 queued, 0 in flight",
        "nobody: 0 sent, 0 of them again",
        "nobody: 1 dropped, absent",
    ]


def test_inbox(run: Scripts) -> None:
    listener = run.start("inbox.py", 0, "inbox.db")
    port = port_of(listener)
    sender = run.start("persistent_queue.py", port, "sqlite:///queue.db", "one", "two")
    assert sender.wait() == 0, sender
    listener.kill()
    listener = run.start("inbox.py", port, "inbox.db")
    listener.wait_for("listening")
    sender = run.start("persistent_queue.py", port, "sqlite:///queue.db", "three")
    assert sender.wait() == 0, sender
    press_ctrl_c(listener)
    assert listener.lines[1:-1] == ["persistent sender: three"]


def test_exactly_once(run: Scripts) -> None:
    listener = run.start("exactly_once.py", 0, "counts.db")
    port = port_of(listener)
    sender = run.start("persistent_queue.py", port, "sqlite:///queue.db", "one", "two")
    assert sender.wait() == 0, sender
    listener.kill()
    listener = run.start("exactly_once.py", port, "counts.db")
    listener.wait_for("listening")
    sender = run.start("persistent_queue.py", port, "sqlite:///queue.db", "three")
    assert sender.wait() == 0, sender
    listener.kill()
    listener = run.start("exactly_once.py", port, "counts.db")
    listener.wait_for("listening")
    press_ctrl_c(listener)
    assert listener.lines[0] == "persistent sender: 3"


def test_unix_socket(run: Scripts, tmp_path: Path) -> None:
    listener = run.start("unix_socket.py", "listen", "peer.sock")
    assert listener.wait_for("listening") == "listening on unix:peer.sock"
    connector = run.start("unix_socket.py", "connect", "peer.sock")
    assert connector.wait() == 0, connector
    assert connector.lines == ["listener: hello to you"]
    press_ctrl_c(listener)
    assert listener.lines[1] == "connector: hello"
    assert not (tmp_path / "peer.sock").exists()


def test_authorization(run: Scripts) -> None:
    server = run.start("authorization.py", "serve", "peer.sock")
    server.wait_for("listening")
    expected = {
        "alice": ["add: 2", "value: 2", "reset: None"],
        "bob": ["add: 2", "value: 2", "not allowed: counter.reset"],
        "guest-1": ["not allowed: counter.add", "value: 2", "not allowed: counter.reset"],
    }
    for ident, lines in expected.items():
        client = run.start("authorization.py", "call", ident, "peer.sock")
        assert client.wait() == 0, client
        assert client.lines == [*lines, "there is no vault"]
    press_ctrl_c(server)
    refusals = [line for line in server.lines if line.startswith("snakemq.audit: refused call")]
    assert [line.split()[3] for line in refusals] == [f"ident={ident!r}" for ident in expected]


def test_throttle(run: Scripts) -> None:
    listener = run.start("messaging_listener.py", 0)
    throttled = run.start("throttle.py", port_of(listener), 40_000, 20_000)
    assert throttled.wait() == 0, throttled
    match = re.fullmatch(r"20000 bytes in ([\d.]+) s", throttled.lines[-1])
    # No faster than it may; how much slower is a matter of the machine. It may begin with what
    # takes 0.05 s.
    assert match is not None, throttled
    assert float(match[1]) >= 0.44


def test_rpc(run: Scripts) -> None:
    server = run.start("rpc_server.py", 0)
    client = run.start("rpc_client.py", port_of(server))
    assert client.wait() == 0, client
    assert client.lines == [
        "7 / 2 is 3.5",
        "raised there, and here: division by zero",
        "ZeroDivisionError: division by zero",
        "no method burn",
        "at once: [0.0, 0.5, 1.0, 1.5, 2.0]",
        "not called: no reply in 0.2 s; 'nobody' was not connected",
    ]
    press_ctrl_c(server)


def test_rpc_signals_wait_for_a_server_that_comes_later(run: Scripts) -> None:
    server = run.start("rpc_server.py", 0)
    port = port_of(server)
    server.kill()
    signals = run.start("rpc_signals.py", port, "one", "two")
    signals.wait_for("2 signals are on their way")
    server = run.start("rpc_server.py", port)
    assert signals.wait() == 0, signals
    assert signals.lines[-1] == "delivered"
    # Worker threads run in any order.
    assert {server.wait_for("noted"), server.wait_for("noted")} == {"noted one", "noted two"}
    press_ctrl_c(server)


def test_demo(run: Scripts) -> None:
    demo = run.start("demo.py")
    assert demo.wait() == 0, demo
    assert 15 <= len(demo.lines) <= 30
    assert "Every persistent message came once, and in order." in demo.lines[-1]


@pytest.mark.parametrize(
    ("truth", "lie", "complaint"),
    [
        ("persistent=persistent", "persistent=False", "[] in the file instead of 8 and 9"),
        ("return a + b", "return a - b", "'value': -1"),
    ],
)
def test_demo_fails_when_it_would_lie(truth: str, lie: str, complaint: str, tmp_path: Path) -> None:
    story = (EXAMPLES / "demo.py").read_text()
    assert story.count(truth) == 1
    (tmp_path / "demo.py").write_text(story.replace(truth, lie))
    with scripts(tmp_path, tmp_path) as started:
        demo = started.start("demo.py")
        assert demo.wait() == 1, demo
        assert "The story is broken" in demo.errors()
        assert complaint in demo.errors()


@pytest.fixture
def certificates(run: Scripts) -> str:
    script = run.start("tls_certificates.py", "certs")
    assert script.wait() == 0, script
    return "certs"


def test_tls(run: Scripts, certificates: str) -> None:
    listener = run.start("tls_listener.py", 0, certificates)
    connector = run.start("tls_connector.py", port_of(listener), certificates)
    assert connector.wait() == 0, connector
    assert connector.lines == ["listener: HELLO", "bye"]
    press_ctrl_c(listener)
    names = "['CN:connector', 'DNS:localhost', 'IP Address:127.0.0.1', "
    assert listener.lines[1:-1] == [
        f"connector, with {names}'URI:spiffe://corp.example/connector']: hello",
    ]


def test_tls_with_an_ident_that_is_not_the_certificates(run: Scripts, certificates: str) -> None:
    listener = run.start("tls_listener.py", 0, certificates)
    connector = run.start("tls_connector.py", port_of(listener), certificates, "queen")
    assert connector.wait() == 0, connector
    # It may have dialled once more before it ended.
    assert {*connector.lines} == {
        "refused by the other side, which says 'the ident is not proven'",
        "bye",
    }
    press_ctrl_c(listener)
    assert "refused: 'queen' is not proven: its certificate has another name" in listener.lines
    assert not any(line.startswith("queen") for line in listener.lines)
