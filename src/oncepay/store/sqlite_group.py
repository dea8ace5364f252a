"""Writing a group of changes on SQLite: one transaction, statement by statement, on the one connection that writes.

The group is tried plainly first; only when one of its rows is refused is all of it undone and written again with a
savepoint for each change, so that the row's owner gets the error and its neighbours are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from oncepay.domain.change import Change
from oncepay.domain.errors import Invalid
from oncepay.ports import DeliveryMark
from oncepay.store import rows
from oncepay.store.pump import LOST, WON, Outcome, Verdict
from oncepay.store.sqlite_link import ROWS_FAULT, Writer, unavailable

ROWS_FAULTS = (Invalid, *ROWS_FAULT)

T = TypeVar("T")


class GroupWriter:
    """The pump's backend."""

    def __init__(self, writer: Writer, sql: Mapping[str, str]) -> None:
        self._writer = writer
        self._execute = writer.execute
        self._changes = writer.link.changes
        self._create = sql["create_payment"]
        self._guard = sql["guard_payment"]
        self._read_change_id = sql["read_change_id"]
        self._mark = sql["mark_delivery"]
        # In the order of the fields of rows.Written, after the payment.
        self._children = tuple(
            sql[name]
            for name in (
                "insert_attempt", "write_credential", "insert_evidence", "insert_raw", "insert_event",
                "insert_delivery", "insert_act", "raise_case", "resolve_case",
            )
        )  # fmt: skip

    async def write_group(self, group: list[Change], marks: list[DeliveryMark]) -> list[Outcome]:
        """One outcome a change, in order; durable when this returns. Raises Unavailable, CommitUnknown."""
        try:
            return await self._writer.transaction(lambda: self._plainly(group, marks))
        except ROWS_FAULTS:
            return await self._writer.transaction(lambda: self._one_by_one(group, marks))

    def _plainly(self, group: list[Change], marks: list[DeliveryMark]) -> list[Outcome]:
        outcomes: list[Outcome] = [self._write(change) for change in group]
        for mark in marks:
            self._write_mark(mark)
        return outcomes

    def _one_by_one(self, group: list[Change], marks: list[DeliveryMark]) -> list[Outcome]:
        outcomes = [self._apart(self._write, change) for change in group]
        for mark in marks:
            self._apart(self._write_mark, mark)
        return outcomes

    def _apart(self, work: Callable[[T], Verdict], of: T) -> Outcome:
        """Undone alone when a row is refused."""
        self._execute("SAVEPOINT apart")
        try:
            return work(of)
        except ROWS_FAULTS as error:
            self._execute("ROLLBACK TO apart")
            return unavailable(error)
        finally:
            self._execute("RELEASE apart")

    def _write(self, change: Change) -> Verdict:
        """All rows of a change behind its guard."""
        written = rows.write(change)
        payment = written.payment
        self._execute(self._guard if change.rev else self._create, payment)
        if not self._changes():
            return self._ours(change)
        for statement, children in zip(self._children, written[1:], strict=True):
            for child in children:
                self._execute(statement, child)
        return WON

    def _write_mark(self, mark: DeliveryMark) -> Verdict:
        self._execute(self._mark, rows.mark_row(mark))
        return WON

    def _ours(self, change: Change) -> Verdict:
        """The guard did not let it through. It may be there already: a commit can succeed without an answer."""
        if not change.change_id:
            return LOST
        found = next(iter(self._execute(self._read_change_id, (change.payment.id,))), None)
        return WON if found is not None and found[0] == change.change_id else LOST
