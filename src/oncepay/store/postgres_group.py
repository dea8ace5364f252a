"""Writing a group of changes on PostgreSQL: one statement, one round trip; and what to do when it fails.

The statement is put together from the parts in ``group.sql``, leaving out those that have nothing to write::

    WITH made, held, moved, won, <children> SELECT the outcomes

It is a transaction of its own, so no lock is held while we think. Arrays hold a column each, sorted by primary key;
creations come before guards (``won`` reads ``made`` to its end before ``moved``), and guards never wait: two groups
cannot wait for each other.

What can go wrong, and what follows:

=========================  ==============================================================================
deadlock, serialization,   rolled back because of others: repeat; at last halve the group, and one left
a lock not given in time   alone is busy
a row that cannot be       rolled back because of one member: halve the group until it stands alone; it
written (22, 23, 54)       gets its error and its neighbours are written
disk full, read-only ...   rolled back, the server cannot write now: everybody gets Unavailable
no answer                  unknown: ask with a locking read on a new connection until it answers, then each
                           member alone; nobody is told anything before
=========================  ==============================================================================
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import asyncpg

from oncepay.domain.change import Change
from oncepay.domain.errors import CommitUnknown, Invalid, Unavailable
from oncepay.ports import DeliveryMark
from oncepay.store import rows
from oncepay.store.postgres_link import LOST as WIRE_LOST
from oncepay.store.postgres_link import Book, Failure, Link, failure_of, words_of
from oncepay.store.pump import BUSY, LOST, WON, Outcome
from oncepay.store.statements import numbered

log = logging.getLogger("oncepay")

REPEATS_MAX: Final = 3
PATIENCE_S: Final = 10.0  # how long an unknown commit is asked about before its callers hear that it is unknown
ASK_AGAIN_S: Final = 0.1

CHILDREN: Final = ("attempts", "credentials", "evidence", "raw", "events", "deliveries", "acts")


class Member(NamedTuple):
    """A change with its rows."""

    change: Change
    written: rows.Written

    @property
    def id(self) -> str:
        """Of the payment."""
        return self.change.payment.id


Part = Sequence[Member]
Outcomes = dict[str, Outcome]


class Composer:
    """Makes the one statement of a group out of the parts that it needs, once for each choice of parts."""

    def __init__(self, statements: Mapping[str, str]) -> None:
        self._statements = statements
        self.text: Final[Callable[[tuple[str, ...]], str]] = cache(self._compose)

    def _compose(self, parts: tuple[str, ...]) -> str:
        *tables, answer = (self._statements[name] for name in parts)
        text, _ = numbered("WITH " + ",\n".join(tables) + "\n" + answer)
        return text

    def statement(self, part: Part, marks: Sequence[DeliveryMark]) -> tuple[str, list[Sequence[Any]]]:
        """The text and its arguments: a column each, in the order of the parts."""
        names: list[str] = []
        arguments: list[Sequence[Any]] = []

        def add(name: str, columns: Sequence[tuple[Any, ...]]) -> None:
            if columns:
                names.append(name)
                arguments.extend(zip(*columns, strict=True))

        made = [member.written.payment for member in part if not member.change.rev]
        add("made", made)
        add("held", [_moved(member) for member in part if member.change.rev])
        if len(made) < len(part):
            names.append("moved")
        if part:
            names.append("won_made" if len(made) == len(part) else "won_either" if made else "won_moved")
            for index, name in enumerate(CHILDREN, start=1):
                add(name, [row for member in part for row in member.written[index]])
            add("cases", _cases(part))
            add("resolved", sorted((*row, member.id) for member in part for row in member.written.resolved))
        add("marked", [rows.mark_row(mark) for mark in marks])
        names.append("answer_marked" if not part else "answer_made" if len(made) == len(part) else "answer_held")
        return self.text(tuple(names)), arguments


def _moved(member: Member) -> tuple[Any, ...]:
    (id_, _, _, status, _, minor, _, _, _, version, due_ms, change_id, doc) = member.written.payment
    return (id_, member.change.rev, status, minor, version, due_ms, change_id, doc)


def _cases(part: Part) -> list[tuple[Any, ...]]:
    """Cases are the one thing that two payments may raise together (a paused account): sorted by their own key. Each
    says whose change raised it, so that only those of winners count."""
    return sorted((*case, member.id) for member in part for case in member.written.cases)


class GroupWriter:
    """The pump's backend. Holds the one connection that groups are written on.

    connect: makes a new connection; raises Unavailable.
    patience_s: how long to ask about an unknown commit before its callers are told so.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Link]],
        statements: Mapping[str, str],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._connect = connect
        self._book = Book(statements)
        self._composer = Composer(statements)
        self._patience_s = patience_s
        self._link: Link | None = None

    async def write_group(self, group: list[Change], marks: list[DeliveryMark]) -> list[Outcome]:
        """One outcome a change, in order; durable when this returns. Never raises for what a database does."""
        outcomes: Outcomes = {}
        part: list[Member] = []
        for change in group:
            try:
                part.append(Member(change, rows.write(change)))
            except Invalid as error:
                outcomes[change.payment.id] = error
        if part or marks:
            await self._write(part, marks, outcomes)
        return [outcomes[change.payment.id] for change in group]

    async def close(self) -> None:
        """Let go of the connection."""
        link, self._link = self._link, None
        if link is not None:
            await link.leave()

    # -- writing -------------------------------------------------------------------------------------------------

    async def _write(self, part: Part, marks: Sequence[DeliveryMark], outcomes: Outcomes) -> None:
        """Write the part whole, or halve it until what cannot be written stands alone."""
        error: Exception | None = None
        for _ in range(REPEATS_MAX):
            try:
                outcomes.update(await self._try(part, marks))
            except Unavailable as away:
                outcomes.update({member.id: away for member in part})
                return
            except (asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeError) as failed:
                error = failed
                if failure_of(failed) is not Failure.REPEAT:
                    break
            else:
                return
        assert error is not None
        if marks and part:  # marks may be lost, so they never cost a change anything
            await self._write(part, (), outcomes)
            await self._write((), marks, outcomes)
        elif len(part) > 1:
            middle = len(part) // 2
            await self._write(part[:middle], (), outcomes)
            await self._write(part[middle:], (), outcomes)
        elif part:
            outcomes[part[0].id] = BUSY if failure_of(error) is Failure.REPEAT else _unwritable(part[0], error)

    async def _try(self, part: Part, marks: Sequence[DeliveryMark]) -> Outcomes:
        """One attempt. Raises an error that proves a rollback and concerns a member, or Unavailable."""
        link = await self._writer()
        try:
            text, arguments = self._composer.statement(part, marks)
            outcomes = _outcomes(part, await link.fetch(text, *arguments))  # no time-out of ours: see the table above
            return await self._told_again(link, part, outcomes)
        except (*WIRE_LOST, asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeError) as error:
            match failure_of(error):
                case Failure.REPEAT | Failure.BAD_ROW:
                    raise
                case Failure.BROKEN:
                    return {member.id: error for member in part}
                case Failure.REFUSED:
                    self._drop()
                    raise Unavailable(f"the database cannot write: {error}") from error
                case Failure.UNKNOWN:
                    self._drop()
                    return await self._settle(part)
        except BaseException:
            self._drop()
            raise

    async def _told_again(self, link: Link, part: Part, outcomes: Outcomes) -> Outcomes:
        """A creation that lost to itself has won, and is told again after an outcome that had stayed unknown. (A guard
        to which that happened is seen by the statement.)"""
        lost = [m for m in part if not m.change.rev and m.change.change_id and outcomes[m.id] is LOST]
        if lost:
            found = await link.fetch(*self._book.call("read_changes", ids=[member.id for member in lost]))
            outcomes.update(_owned(lost, found))
        return outcomes

    async def _writer(self) -> Link:
        if self._link is not None and self._link.is_closed():
            self._link = None
        if self._link is None:
            self._link = await self._connect()
        return self._link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.terminate()

    # -- a commit without an answer ------------------------------------------------------------------------------

    async def _settle(self, part: Part) -> Outcomes:
        """What became of a part whose COMMIT was not answered: each member is ours, or must be decided again."""
        clock = asyncio.get_running_loop().time
        began = clock()
        until = began + self._patience_s
        log.warning("commit.unknown changes=%d", len(part))
        while part:
            try:
                outcomes = await self._ask(part)
            except (Unavailable, *WIRE_LOST, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._drop()
                if clock() >= until:
                    log.warning("commit.unsettled changes=%d after_s=%.1f", len(part), clock() - began)
                    unknown = CommitUnknown(f"the database has not said whether it was stored: {error}")
                    return {member.id: unknown for member in part}
            else:
                stored = sum(outcome is WON for outcome in outcomes.values())
                again, took_s = len(part) - stored, clock() - began
                log.warning("commit.settled stored=%d decided_again=%d after_s=%.1f", stored, again, took_s)
                return outcomes
            await asyncio.sleep(ASK_AGAIN_S)
        return {}

    async def _ask(self, part: Part) -> Outcomes:
        """Ask under lock_timeout, so that a commit still on its way is waited for. Leaves nothing behind."""
        link = await self._writer()
        transaction = link.transaction()
        await transaction.start()
        await link.fetch(*self._book.call("ask_made", ids=[member.id for member in part if not member.change.rev]))
        answer = await link.fetch(*self._book.call("ask_held", ids=[member.id for member in part]))
        await transaction.rollback()
        return _owned(part, answer)


def _owned(part: Part, answer: Sequence[asyncpg.Record]) -> Outcomes:
    """Whose change each row carries: ours, or another's that has to be decided on again."""
    found = {row["id"]: (row["rev"], row["change_id"]) for row in answer}
    return {
        member.id: WON if found.get(member.id) == (member.change.rev + 1, member.change.change_id) else LOST
        for member in part
    }


def _unwritable(member: Member, error: Exception) -> Invalid:
    """The error of a change that no group can hold."""
    invalid = Invalid(f"the change cannot be stored: {words_of(error)}", payment=member.id)
    invalid.__cause__ = error
    return invalid


def _outcomes(part: Part, answer: Sequence[asyncpg.Record]) -> Outcomes:
    """Winners are listed; losers among the guards were at least seen; a guard that was not seen is busy."""
    seen: dict[str, bool] = {}
    for id_, won in answer:
        seen[id_] = won or seen.get(id_, False)
    return {
        member.id: WON if seen.get(member.id) else BUSY if member.change.rev and member.id not in seen else LOST
        for member in part
    }
