"""Decides contests: asks owners, waits for them, and says who has lost."""

from __future__ import annotations

import logging
from collections.abc import Callable

from snakemq.exceptions import SnakeMQDuplicateIdent
from snakemq.link import LinkInterface

from .._session import Session
from ._contest import CONTEST_PAUSE, CONTEST_WAIT, Contest, patience
from ._keepalive import KeepAlive
from ._probe import Prober


class Contests:
    """All contests that go on, one at most for an ident. For the loop only.

    ``epoch``: of this process. ``refuse(contest)`` is called when the owner is alive,
    ``replace(contest)`` when it is dead, and ``release(owner)`` when messages may go to it again.
    """

    def __init__(
        self,
        link: LinkInterface,
        epoch: int,
        keepalive: KeepAlive,
        prober: Prober,
        refuse: Callable[[Contest], None],
        replace: Callable[[Contest], None],
        release: Callable[[Session], None],
    ) -> None:
        self.wait: float = CONTEST_WAIT
        self.by_ident: dict[str, Contest] = {}
        """The contests, by the ident that is claimed."""
        self.of_challenger: dict[Session, Contest] = {}
        self._link = link
        self._epoch = epoch
        self._keepalive = keepalive
        self._prober = prober
        self._refuse = refuse
        self._replace = replace
        self._release = release
        self._log = logging.getLogger("snakemq.messaging")

    def begin(self, ident: str, owner: Session, challenger: Session) -> None:
        """A connection claims the ident of another one.

        Raises :exc:`~snakemq.exceptions.SnakeMQDuplicateIdent` if a third one does so, too.
        """
        if ident in self.by_ident:
            raise SnakeMQDuplicateIdent(f"{ident!r} is connected already")
        contest = Contest(ident, owner, challenger)
        self.by_ident[ident] = self.of_challenger[challenger] = contest
        self._log.info("conn=%s claims %r", challenger.conn_id, ident)
        proved_at = owner.proved_alive_at
        if contest.is_same_process and self._epoch > contest.epoch:
            # Both sides dial each other, and each may have taken another connection first. If
            # both decided, none would be left. This one waits for what the other one does.
            self._keepalive.set_deadline(
                contest, 2 * self._keepalive.wait, lambda: self._ask(contest)
            )
        elif proved_at is not None and self._link.time() - proved_at < CONTEST_PAUSE:
            self._owner_is_alive(contest)
        else:
            self._ask(contest)

    def end(self, contest: Contest) -> None:
        """It is decided, or there is nothing left to decide."""
        if contest.timer is not None:
            contest.timer.cancel()
        self.by_ident.pop(contest.ident, None)
        self.of_challenger.pop(contest.challenger, None)
        contest.owner.is_held = False

    def heard(self, session: Session) -> None:
        """A sign of life."""
        contest = self.by_ident.get(session.ident) if session.ident is not None else None
        if contest is not None and contest.is_decided_here:
            session.proved_alive_at = self._link.time()
            self._owner_is_alive(contest)

    def has_moved(self, session: Session) -> None:
        """Bytes were sent, maybe those that are before the ping."""
        contest = self.by_ident.get(session.ident) if session.ident is not None else None
        if contest is not None and contest.probe.packet_id > session.sent_packet_id:
            contest.waited = 0.0
            self._wait(contest, self._keepalive.wait)

    def _ask(self, contest: Contest) -> None:
        owner = contest.owner
        contest.is_decided_here = True
        contest.probe = self._prober.ping(owner.conn_id)
        # Whatever left for a dead one that acknowledges nothing would be lost.
        owner.is_held = not owner.acks
        self._wait(contest, self._keepalive.wait)

    def _wait(self, contest: Contest, seconds: float) -> None:
        if contest.timer is not None:
            contest.timer.cancel()
        self._keepalive.set_deadline(contest, seconds, lambda: self._look(contest, seconds))

    def _look(self, contest: Contest, seconds: float) -> None:
        """The owner has been silent for that long."""
        conn_id = contest.owner.conn_id
        if self._prober.is_ours(conn_id):
            self._owner_is_alive(contest)
            return
        contest.waited += seconds
        if self._prober.moves(conn_id, contest.probe):
            contest.waited = 0.0
        left = patience(
            contest.waited,
            self._prober.unanswered_for(conn_id),
            self._keepalive.wait,
            self.wait,
        )
        if left > 0:
            self._wait(contest, left)
        else:
            self._replace(contest)

    def _owner_is_alive(self, contest: Contest) -> None:
        self.end(contest)
        self._refuse(contest)
        self._release(contest.owner)
