import pytest
from in_memory import InMemory

from snakemq.exceptions import LoopError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Reject, Retry
from snakemq.peer import Messages, ReceivedMessage
from snakemq.peer._sending import CALL_PREFIXES, Terms
from snakemq.rpc import REPLY_PREFIX, REQUEST_PREFIX

Pair = tuple[InMemory, InMemory]


def send(network: MemoryNetwork, pair: Pair, *data: bytes) -> list[bytes]:
    """Send messages from alice to bob. Returns their uuids."""
    alice, _ = pair
    uuids = [alice.messaging.send_message("bob", Message(it, ttl=60)) for it in data]
    network.run_until_idle()
    return uuids


def receive(network: MemoryNetwork, bob: InMemory) -> list[bytes]:
    """Process all that has arrived."""
    data = [message.data for message in bob.messages()]
    network.run_until_idle()
    return data


def test_messages_come_in_order_and_are_acknowledged_one_by_one(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    uuids = send(network, pair, b"1", b"2", b"3")
    for number, message in enumerate(bob.messages()):
        network.run_until_idle()
        assert message.data == b"%d" % (number + 1)
        assert alice.delivered == uuids[:number]
    network.run_until_idle()
    assert alice.delivered == uuids


def test_message_whose_body_raises_is_offered_again_and_others_are_not(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    first, second = send(network, pair, b"1", b"2")

    def fail() -> None:
        for message in bob.messages():
            raise RuntimeError(message.data)

    with pytest.raises(RuntimeError, match="1"):
        fail()
    assert receive(network, bob) == [b"2"]
    network.advance(bob.messaging.retry_delay)
    (again,) = bob.messages()
    assert (again.uuid, again.attempts) == (first, 2)
    network.run_until_idle()
    assert set(alice.delivered) == {first, second}


def test_message_that_always_fails_is_rejected_in_the_end(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    send(network, pair, b"poison")
    attempts = []

    def fail() -> None:
        for message in bob.messages():
            attempts.append(message.attempts)
            raise RuntimeError

    while not alice.dropped:
        with pytest.raises(RuntimeError):
            fail()
        network.advance(bob.messaging.retry_delay)
    assert attempts == [1, 2, 3, 4, 5]


def test_message_after_which_the_loop_is_left_is_offered_again(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    send(network, pair, b"1")
    for _message in bob.messages():
        break
    network.advance(bob.messaging.retry_delay)
    assert alice.delivered == []
    assert receive(network, bob) == [b"1"]


def test_iterator_that_is_used_again_does_not_acknowledge_what_has_failed(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    send(network, pair, b"poison", b"2")
    messages = bob.messages()

    def fail_once() -> list[bytes]:
        received = []
        for message in messages:
            if message.data == b"poison" and message.attempts == 1:
                raise RuntimeError
            received.append(message.data)
        return received

    with pytest.raises(RuntimeError):
        fail_once()
    assert fail_once() == [b"2"]
    network.advance(bob.messaging.retry_delay)
    assert fail_once() == [b"poison"]
    network.run_until_idle()
    assert len(alice.delivered) == 2


def test_message_that_the_body_acknowledges_may_be_the_last_one(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    uuids = send(network, pair, b"1")
    for message in bob.messages():
        message.ack()
        break
    network.advance(60)
    assert alice.delivered == uuids
    assert receive(network, bob) == []


def test_with_block_acknowledges_after_break(network: MemoryNetwork, pair: Pair) -> None:
    alice, bob = pair
    uuids = send(network, pair, b"1")
    with bob.messages() as messages:
        for _message in messages:
            break
    network.run_until_idle()
    assert alice.delivered == uuids


@pytest.mark.parametrize(
    ("error", "dropped", "comes_again"),
    [
        (RuntimeError(), [], 1.0),
        (Retry(7), [], 7.0),
        (Reject("too old"), ["too old"], None),
        (KeyboardInterrupt(), [], 0.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_with_block_says_what_the_body_has_raised(
    network: MemoryNetwork,
    pair: Pair,
    error: BaseException,
    dropped: list[str],
    comes_again: float | None,
) -> None:
    alice, bob = pair
    send(network, pair, b"1")

    def fail() -> None:
        with bob.messages() as messages:
            for _message in messages:
                raise error

    with pytest.raises(type(error)):
        fail()
    network.run_until_idle()
    assert alice.dropped == dropped
    if comes_again:
        network.advance(comes_again - 0.1)
        assert list(bob.messages()) == []
        network.advance(0.1)
    assert receive(network, bob) == ([] if comes_again is None else [b"1"])


def take_one(bob: InMemory) -> ReceivedMessage:
    """Take a message out of its loop, which then counts it as processed."""
    with bob.messages() as messages:
        return next(messages)


def test_message_that_another_block_has_taken_over_is_settled_by_it(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    uuids = send(network, pair, b"1")
    with bob.messages() as messages, next(messages) as message:
        assert list(messages) == []
        network.run_until_idle()
        assert alice.delivered == []
    network.run_until_idle()
    assert message.data == b"1"
    assert alice.delivered == uuids


def test_block_that_comes_too_late_is_an_error(network: MemoryNetwork, pair: Pair) -> None:
    _, bob = pair
    send(network, pair, b"1")
    message = take_one(bob)
    with pytest.raises(ValueError, match="settled already: a handler and a loop settle"), message:
        pass


def test_only_one_block_can_take_a_message_over(network: MemoryNetwork, pair: Pair) -> None:
    _, bob = pair
    send(network, pair, b"1")
    with (
        bob.messages() as messages,
        next(messages) as message,
        pytest.raises(ValueError, match="in the hands of another"),
        message,
    ):
        pass


@pytest.mark.parametrize("settle", ["ack", "retry", "release", "reject"])
def test_message_is_settled_once(network: MemoryNetwork, pair: Pair, settle: str) -> None:
    _, bob = pair
    send(network, pair, b"1")
    message = take_one(bob)
    with pytest.raises(ValueError, match="settled already"):
        getattr(message, settle)()


def test_message_that_was_released_is_not_settled_by_the_loop_that_had_it(
    network: MemoryNetwork, pair: Pair
) -> None:
    """It is offered again at once, and so it is somebody else's."""
    alice, bob = pair
    send(network, pair, b"1")
    messages = bob.messages()
    next(messages).release()
    network.run_until_idle()
    with next(messages) as again:
        network.run_until_idle()
        assert alice.delivered == []
        assert again.attempts == 1


def test_message_may_be_settled_through_messaging(network: MemoryNetwork, pair: Pair) -> None:
    alice, bob = pair
    uuids = send(network, pair, b"1")
    for message in bob.messages():
        bob.messaging.ack(message.raw)
    network.run_until_idle()
    assert alice.delivered == uuids


def test_sender_of_a_message_is_known(network: MemoryNetwork, pair: Pair) -> None:
    _, bob = pair
    send(network, pair, b"1")
    (message,) = bob.messages()
    assert (message.sender.ident, message.sender.address) == ("alice", "unix:alice")
    assert repr(message) == f"<ReceivedMessage {message.uuid.hex()} from 'alice', 1 bytes>"


def test_sender_is_not_proven_any_more_when_its_connection_is_gone(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    send(network, pair, b"1")
    messages = bob.messages()
    next(messages).retry(5)
    network.disconnect(alice.link.connections[0])
    network.advance(5)
    sender = next(messages).sender
    assert (sender.ident, sender.is_proven, sender.address) == ("alice", False, "")


def test_peer_whose_new_connection_replaces_the_old_one_stays_connected(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    before = bob.link.connections
    network.vanish(alice.link)
    network.connect(InMemory(network, "alice").link, bob.link)
    network.advance(60)
    assert len(bob.link.connections) == 1
    assert bob.link.connections != before
    assert [*bob.presence.connected()] == ["alice"]


def test_reply_goes_to_the_sender(network: MemoryNetwork, pair: Pair) -> None:
    alice, bob = pair
    send(network, pair, b"hello")
    for message in bob.messages():
        message.reply({"to": "you"}, codec="json", headers={"priority": "high"})
    network.run_until_idle()
    (answer,) = alice.messages()
    assert (answer.content, answer.content_type) == ({"to": "you"}, "application/json")
    assert dict(answer.headers) == {"content-type": "application/json", "priority": "high"}


def test_data_that_look_like_a_call_cannot_be_sent(pair: Pair) -> None:
    alice, _ = pair
    for prefix in CALL_PREFIXES:
        with pytest.raises(ValueError, match="must not begin with b'rpcre"):
            alice.outgoing.send("bob", prefix + b"...", Terms())
    assert (REQUEST_PREFIX, REPLY_PREFIX) == CALL_PREFIXES  # here they are installed


def test_request_of_a_call_waits_for_a_server(network: MemoryNetwork, pair: Pair) -> None:
    _, bob = pair
    send(network, pair, REQUEST_PREFIX + b"...")
    seen: list[int] = []
    bob.messaging.on_message_recv.add(lambda conn_id, ident, it: seen.append(it.attempts))
    bob.arrivals.has_server = True
    network.advance(bob.messaging.retry_delay)
    assert seen == [2]
    assert list(bob.messages()) == []


def test_request_of_a_call_that_nobody_takes_is_rejected(
    network: MemoryNetwork, pair: Pair
) -> None:
    alice, bob = pair
    send(network, pair, REQUEST_PREFIX + b"...")
    network.advance(bob.messaging.retry_delay * bob.messaging.max_attempts)
    assert len(alice.dropped) == 1


def test_reply_that_nobody_waits_for_is_acknowledged(network: MemoryNetwork, pair: Pair) -> None:
    alice, bob = pair
    uuids = send(network, pair, REPLY_PREFIX + b"...")
    assert alice.delivered == uuids
    assert list(bob.messages()) == []


def test_what_is_left_at_the_end_is_not_given_out(network: MemoryNetwork, pair: Pair) -> None:
    alice, bob = pair
    send(network, pair, b"1", b"2")
    messages = bob.messages()
    next(messages)
    bob.row.end()
    with pytest.raises(StopIteration):
        next(messages)
    assert list(bob.messages()) == []
    network.run_until_idle()
    assert len(alice.delivered) == 1


def test_loop_cannot_wait_for_itself(network: MemoryNetwork, pair: Pair) -> None:
    alice, _ = pair
    errors: list[BaseException] = []

    def take() -> None:
        try:
            next(Messages(alice.row, None))
        except LoopError as exc:
            errors.append(exc)

    alice.link.call_later(0, take)
    network.run_until_idle()
    network.advance(0)
    assert [str(error) for error in errors] == [
        "the loop cannot wait for messages, because it is what brings them"
    ]
