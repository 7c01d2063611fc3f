"""Decides contests: pings owners, waits for them, and closes the connection that loses."""

from __future__ import annotations

import logging

from snakemq.exceptions import SnakeMQDuplicateIdent, SnakeMQTimeout
from snakemq.link import LinkInterface

from .._outgoing._sender import Sender
from ._connection import Connection
from ._contest import CONTEST_PAUSE, Contest, patience
from ._endings import Endings
from ._keepalive import KeepAlive
from ._probe import Prober
from ._settings import PeerSettings


class Contests:
    """All current contests, at most one for each ident. For the loop only.

    ``epoch``: the epoch of this process.
    """

    def __init__(
        self,
        link: LinkInterface,
        epoch: int,
        keepalive: KeepAlive,
        prober: Prober,
        endings: Endings,
        sender: Sender,
        settings: PeerSettings,
    ) -> None:
        self.by_ident: dict[str, Contest] = {}
        """The contests, by the claimed ident."""
        self.of_challenger: dict[Connection, Contest] = {}
        self._link = link
        self._epoch = epoch
        self._keepalive = keepalive
        self._prober = prober
        self._endings = endings
        self._sender = sender
        self._settings = settings
        self._log = logging.getLogger("snakemq.messaging")

    def begin(self, ident: str, owner: Connection, challenger: Connection) -> None:
        """Begin a contest: a connection claims the ident of another one.

        Raises :exc:`~snakemq.exceptions.SnakeMQDuplicateIdent` if two already contest it.
        """
        if ident in self.by_ident:
            raise SnakeMQDuplicateIdent(f"{ident!r} is connected already")
        contest = Contest(ident, owner, challenger)
        self.by_ident[ident] = self.of_challenger[challenger] = contest
        self._log.info("conn=%s claims %r", challenger.conversation.conn_id, ident)
        proved_at = owner.proved_alive_at
        if contest.is_same_process and self._epoch > contest.epoch:
            # Both sides dial each other, and each may have taken another connection first. If
            # both decided, none would be left. This one waits for what the other one does.
            self._keepalive.set_deadline(
                contest, 2 * self._settings.keepalive_wait, lambda: self._ask(contest)
            )
        elif proved_at is not None and self._link.time() - proved_at < CONTEST_PAUSE:
            self._owner_is_alive(contest)
        else:
            self._ask(contest)

    def end(self, contest: Contest) -> None:
        """End the contest: it is decided, or there is nothing left to decide."""
        if contest.timer is not None:
            contest.timer.cancel()
        self.by_ident.pop(contest.ident, None)
        self.of_challenger.pop(contest.challenger, None)
        self._sender.release(contest.queue)

    def _of_owner(self, connection: Connection) -> Contest | None:
        ident = connection.conversation.ident
        return None if ident is None else self.by_ident.get(ident)

    def heard(self, connection: Connection) -> None:
        """Note a sign of life: an owner that was pinged is alive."""
        contest = self._of_owner(connection)
        if contest is not None and contest.is_decided_here:
            connection.proved_alive_at = self._link.time()
            self._owner_is_alive(contest)

    def has_moved(self, connection: Connection) -> None:
        """Wait anew: bytes were sent that may be in front of the ping."""
        contest = self._of_owner(connection)
        if contest is not None and contest.probe.packet_id > connection.sent_packet_id:
            contest.waited = 0.0
            self._wait(contest, self._settings.keepalive_wait)

    def _ask(self, contest: Contest) -> None:
        owner = contest.owner
        contest.is_decided_here = True
        contest.probe = self._prober.ping(owner.conversation.conn_id)
        self._sender.hold(contest.queue)
        self._wait(contest, self._settings.keepalive_wait)

    def _wait(self, contest: Contest, seconds: float) -> None:
        if contest.timer is not None:
            contest.timer.cancel()
        self._keepalive.set_deadline(contest, seconds, lambda: self._look(contest, seconds))

    def _look(self, contest: Contest, seconds: float) -> None:
        """Decide what to do with an owner that has been silent for ``seconds``."""
        conn_id = contest.owner.conversation.conn_id
        if self._prober.is_ours(conn_id):
            self._owner_is_alive(contest)
            return
        contest.waited += seconds
        if self._prober.moves(conn_id, contest.probe):
            contest.waited = 0.0
        left = patience(
            contest.waited,
            self._prober.unanswered_for(conn_id),
            self._settings.keepalive_wait,
            self._settings.contest_wait,
        )
        if left > 0:
            self._wait(contest, left)
        else:
            # Its disconnection admits the challenger.
            error = SnakeMQTimeout(f"{contest.ident!r} came back; this one is dead")
            self._endings.fail(contest.owner, error)

    def _owner_is_alive(self, contest: Contest) -> None:
        self.end(contest)
        self._refuse(contest)
        self._sender.pump(contest.queue)

    def _refuse(self, contest: Contest) -> None:
        challenger = contest.challenger
        if contest.is_same_process:
            # Both sides dial each other. One connection is enough, and nobody is at fault.
            self._log.info("conn=%s is one too many", challenger.conversation.conn_id)
            self._endings.close(challenger)
            return
        error = SnakeMQDuplicateIdent(
            f"{contest.ident!r} is connected already, and alive: two processes have this ident"
        )
        self._endings.fail(challenger, error)
