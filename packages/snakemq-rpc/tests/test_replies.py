from __future__ import annotations

from collections import OrderedDict

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from snakemq.rpc._replies._replies import RUNNING, DroppedReply, ReplyMemory


def finished(memory: ReplyMemory, ident: str, req_id: bytes, reply: bytes = b"reply") -> None:
    assert memory.begin(ident, req_id) is None
    memory.finish(ident, req_id, reply, b"uuid of " + req_id, 0)


def test_a_new_request_is_to_be_executed() -> None:
    assert ReplyMemory().begin("a", b"1") is None


def test_a_repeated_request_waits_for_the_first_one() -> None:
    memory = ReplyMemory()
    memory.begin("a", b"1")
    assert memory.begin("a", b"1") is RUNNING


def test_a_repeated_request_gets_the_reply_of_the_first_one() -> None:
    memory = ReplyMemory()
    finished(memory, "a", b"1", b"the reply")
    assert memory.begin("a", b"1") == b"the reply"
    assert memory.begin("a", b"1") == b"the reply"


def test_clients_may_choose_the_same_req_id() -> None:
    memory = ReplyMemory()
    finished(memory, "a", b"1")
    assert memory.begin("b", b"1") is None


def test_an_abandoned_request_is_new_again() -> None:
    memory = ReplyMemory()
    memory.begin("a", b"1")
    memory.abandon("a", b"1")
    assert memory.begin("a", b"1") is None


def test_the_oldest_reply_is_forgotten_when_there_are_too_many() -> None:
    memory = ReplyMemory(max_replies=2)
    for req_id in (b"1", b"2", b"3"):
        finished(memory, "a", req_id)
    assert memory.begin("a", b"2") == memory.begin("a", b"3") == b"reply"
    assert memory.begin("a", b"1") is None


def test_the_oldest_replies_are_forgotten_when_they_are_too_long() -> None:
    memory = ReplyMemory(max_bytes=10)
    finished(memory, "a", b"1", b"x" * 4)
    finished(memory, "a", b"2", b"x" * 4)
    finished(memory, "a", b"3", b"x" * 6)
    assert memory.begin("a", b"2") == b"x" * 4
    assert memory.begin("a", b"1") is None


def test_that_client_is_forgotten_which_was_silent_longest() -> None:
    memory = ReplyMemory(max_idents=2)
    finished(memory, "a", b"1")
    finished(memory, "b", b"1")
    memory.begin("a", b"1")
    finished(memory, "c", b"1")
    assert memory.begin("a", b"1") == b"reply"
    assert memory.begin("b", b"1") is None


def test_running_requests_are_never_forgotten() -> None:
    memory = ReplyMemory(max_replies=0, max_bytes=0, max_idents=1)
    for ident in "abc":
        for req_id in (b"1", b"2"):
            assert memory.begin(ident, req_id) is None
    for ident in "abc":
        for req_id in (b"1", b"2"):
            assert memory.begin(ident, req_id) is RUNNING


def test_a_dropped_reply_is_found_by_the_message_that_brought_it_last() -> None:
    memory = ReplyMemory()
    finished(memory, "a", b"1")
    assert memory.dropped("a", b"uuid of 1") == DroppedReply(b"1", b"reply", 1)
    memory.sent_again("a", b"1", b"another")
    assert memory.dropped("a", b"uuid of 1") is None
    assert memory.dropped("a", b"another") == DroppedReply(b"1", b"reply", 2)


def test_what_is_not_known_was_not_dropped() -> None:
    memory = ReplyMemory()
    finished(memory, "a", b"1")
    memory.sent_again("a", b"2", b"uuid")
    memory.sent_again("b", b"1", b"uuid")
    assert memory.dropped("a", b"uuid") is memory.dropped("b", b"uuid of 1") is None


MAX_REPLIES, MAX_BYTES, MAX_IDENTS = 3, 20, 2
IDENTS = st.sampled_from("abc")
REQ_IDS = st.sampled_from([b"1", b"2", b"3", b"4", b"5"])


class ReplyMemoryModel(RuleBasedStateMachine):
    """Against a simple model: what must be known is known, and it stays within its bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = ReplyMemory(MAX_REPLIES, MAX_BYTES, MAX_IDENTS)
        self.running: set[tuple[str, bytes]] = set()
        self.finished: OrderedDict[str, OrderedDict[bytes, bytes]] = OrderedDict()

    def touch(self, ident: str) -> None:
        if ident not in self.finished:
            self.forget_silent(MAX_IDENTS - 1)
            self.finished[ident] = OrderedDict()
        self.finished.move_to_end(ident)

    def forget_silent(self, remaining: int) -> None:
        silent = [i for i in self.finished if not any(r[0] == i for r in self.running)]
        while len(self.finished) > remaining and silent:
            del self.finished[silent.pop(0)]

    @rule(ident=IDENTS, req_id=REQ_IDS)
    def request(self, ident: str, req_id: bytes) -> None:
        self.touch(ident)
        answer = self.memory.begin(ident, req_id)
        if (ident, req_id) in self.running:
            assert answer is RUNNING
        else:
            assert answer == self.finished[ident].get(req_id)
            if answer is None:
                self.running.add((ident, req_id))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), reply=st.binary(min_size=1, max_size=MAX_BYTES))
    def finish(self, data: st.DataObject, reply: bytes) -> None:
        ident, req_id = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove((ident, req_id))
        self.memory.finish(ident, req_id, reply, b"", 0)
        replies = self.finished[ident]
        replies[req_id] = reply
        while len(replies) > MAX_REPLIES or sum(map(len, replies.values())) > MAX_BYTES:
            replies.popitem(last=False)
        self.forget_silent(MAX_IDENTS)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        ident, req_id = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove((ident, req_id))
        self.memory.abandon(ident, req_id)
        self.forget_silent(MAX_IDENTS)

    @invariant()
    def it_stays_within_its_bounds(self) -> None:
        clients = self.memory._clients
        busy = sum(bool(client.running) for client in clients.values())
        assert len(clients) <= max(MAX_IDENTS, busy)
        for client in clients.values():
            assert len(client.finished) <= MAX_REPLIES
            assert sum(len(f.reply) for f in client.finished.values()) == client.size <= MAX_BYTES


TestReplyMemoryModel = ReplyMemoryModel.TestCase
