"""The ledger on SQLite, through apsw: a database in a file beside the process, as durable as the disk it is on.

Changes go through the pump, one transaction and one thread hop a group. The log is emptied beside the writer: a
passive checkpoint every quarter of a second on a connection of its own, and a restarting one between two groups when
the log has grown large all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import apsw
import msgspec

from oncepay.domain.change import Change
from oncepay.domain.errors import Unavailable
from oncepay.domain.payment import Payment
from oncepay.ports import DeliveryMark, DeliveryRow, Due, UnappliedRow
from oncepay.store import rows
from oncepay.store.migrations import EPOCH, INSTALLATION, SQLITE_WORDS, drawn, migrations, pending, rendered
from oncepay.store.pump import Pump
from oncepay.store.refusals import MigrationRefused
from oncepay.store.sqlite_base import LIST_MAX, Base
from oncepay.store.sqlite_directory import Directory
from oncepay.store.sqlite_group import GroupWriter
from oncepay.store.sqlite_link import Settings, Thread, Writer, connect, named, settings_of
from oncepay.store.sqlite_lists import Lists, delivery_choice
from oncepay.store.statements import load

log = logging.getLogger("oncepay.store")

CLAIM_MAX: Final = 1000
LOOK_KEPT_MS: Final = 60_000
RESTART_WAIT_MS: Final = 100  # how long a restarting checkpoint may keep the writer waiting for readers
RESTART_AGAIN: Final = 20  # passive rounds before it is tried again


async def open_sqlite(url: str, *, token: Callable[[], str], migrate: bool = True) -> SqliteLedger:
    """Open the ledger. ``url``: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://:memory:``; settings
    as in ``sqlite_link.Settings``.

    token: the dice, asked only when the installation is new. migrate: bring the tables up to date.
    Raises StartRefused (unsafe settings, tables of another release, a file that is none for us), Invalid (the URL),
    Unavailable.
    """
    settings = settings_of(url)
    writer = Writer(settings, make=migrate)
    try:
        sql = {**load("sqlite"), **load("migrations.sql")}
        meta = await migrate_tables(writer, sql, token if migrate else None)
        return SqliteLedger(settings, writer, sql, meta)
    except Unavailable as error:
        await writer.close()
        raise (named(error.__cause__, settings) if isinstance(error.__cause__, apsw.Error) else error) from error
    except BaseException:
        await writer.close()
        raise


async def migrate_tables(writer: Writer, sql: Mapping[str, str], token: Callable[[], str] | None) -> dict[str, str]:
    """Apply what is pending, all in one transaction, so that of two processes that start at once the second finds
    nothing to do. Returns the facts about the installation. Raises MigrationRefused."""

    def work() -> dict[str, str]:
        for _ in writer.execute(sql["create_records"]):
            pass
        known = migrations()
        left = pending(list(writer.execute(sql["read_applied"])), known)
        if left and token is None:
            raise MigrationRefused(
                f"migration {left[0].number} ({left[0].name}) was not applied; run `oncepay migrate`"
            )
        for migration in left:
            for _ in writer.execute(rendered(migration.text, SQLITE_WORDS)):
                pass
            record = {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
            writer.execute(sql["record_migration"], record)
        meta = dict(writer.execute(sql["read_meta"]))
        if INSTALLATION not in meta and token is not None:
            for name, value in drawn(token()).items():
                writer.execute(sql["draw_meta"], {"name": name, "value": value})
            meta = dict(writer.execute(sql["read_meta"]))
        return meta

    return await writer.transaction(work)


class SqliteLedger(Lists, Directory):
    """The Ledger. Made by ``open_sqlite``."""

    def __init__(self, settings: Settings, writer: Writer, sql: Mapping[str, str], meta: Mapping[str, str]) -> None:
        Base.__init__(self, settings, writer, sql)
        self.installation = meta[INSTALLATION]
        self.epoch = meta[EPOCH]
        self._pump = Pump(GroupWriter(writer, sql))
        self._kept_seen_ms = 0  # when it was last looked for kept messages that wait for nothing
        self._checkpoints: Checkpoints | None = None
        if settings.inline:
            writer.link.wal_autocheckpoint(1000)  # nobody else is there to do it
        elif settings.path:
            self._checkpoints = Checkpoints(settings, writer)

    # -- the aggregate -------------------------------------------------------------------------------------------

    async def load(self, payment_id: str) -> Payment | None:
        """The aggregate as last committed. A row by key is faster than the company it could wait for."""
        found = self._read("load_payment", (payment_id,))
        return rows.payment_of(found[0][0]) if found else None

    async def commit(self, change: Change) -> bool:
        """Write all of a change or nothing."""
        rows.check(change)
        return await self._pump.submit(change)

    async def claim_due(self, now_ms: int, lease_until_ms: int, limit: int) -> list[Due]:
        """Lend the longest-overdue payments to this worker."""
        if abs(now_ms - self._kept_seen_ms) >= LOOK_KEPT_MS:
            self._kept_seen_ms = now_ms
            await self._bring_kept_back(now_ms)
        if not self._read("is_payment_due", {"now_ms": now_ms}):
            return []

        def work() -> list[rows.Row]:
            due = self._pick("due_payments", {"now_ms": now_ms, "most": min(limit, CLAIM_MAX)})
            for id_, _ in due:
                self._run("lend_payment", (id_, lease_until_ms))
            return due

        lent = []
        for id_, doc in await self._write(work):
            try:
                lent.append(Due(payment=rows.payment_of(doc), lease_until_ms=lease_until_ms))
            except msgspec.DecodeError:  # of a newer release, or damaged: it must not stop the others
                log.exception("payment.unreadable payment=%s", id_)
        return lent

    async def _bring_kept_back(self, now_ms: int) -> None:
        """A later change may have put a payment off for which a message is kept: that was acknowledged, and must not
        wait for the next one."""
        values = {"now_ms": now_ms, "late_ms": now_ms + rows.KEPT_MS}
        if self._read("is_kept_put_off", values):
            await self._write(lambda: self._run("bring_kept_back", values))

    async def postpone(self, payment_id: str, lease_until_ms: int, due_ms: int | None) -> bool:
        """Give a lent payment back, unless a commit has set another due time since."""
        values = {"id": payment_id, "lease_until_ms": lease_until_ms, "due_ms": due_ms}
        return bool(await self._write(lambda: self._run("postpone_payment", values)))

    async def body(self, payment_id: str, no: str) -> bytes | None:
        """The first body sent for a number."""
        found = self._read("read_body", (payment_id, no))
        return bytes(found[0][0]) if found else None

    async def credential(self, payment_id: str, no: str) -> str | None:
        """A credential that is stored apart."""
        found = self._read("read_credential", (payment_id, no))
        return found[0][0] if found else None

    # -- messages that could not be taken in -----------------------------------------------------------------------

    async def keep_unapplied(self, row: UnappliedRow) -> None:
        """Keep a message that the core could not take in."""
        columns = rows.unapplied_row(row)
        await self._write(lambda: self._run("keep_unapplied", columns))

    async def unapplied(self, payment_ids: Sequence[str]) -> list[UnappliedRow]:
        """The kept messages of these payments, oldest first."""
        found = [row for id_ in set(payment_ids) for row in self._read("list_unapplied", (id_,))]
        return sorted(map(rows.unapplied_of, found), key=lambda row: (row.at_ms, row.payment_id, row.key))

    async def drop_unapplied(self, payment_id: str, key: str) -> None:
        """It was taken in."""
        await self._write(lambda: self._run("drop_unapplied", (payment_id, key)))

    async def forget_raw(self, before: int) -> None:
        """Forget the raw bytes of months before this one, a piece at a time; the facts stay."""
        piece = {"before": before, "most": LIST_MAX}
        while await self._write(lambda: self._run("forget_raw", piece)) == LIST_MAX:
            pass

    # -- deliveries ------------------------------------------------------------------------------------------------

    async def claim_deliveries(
        self, now_ms: int, lease_until_ms: int, endpoints: Sequence[str], each: int
    ) -> list[DeliveryRow]:
        """Lend due deliveries with their events, at most ``each`` for each endpoint."""

        def work() -> list[rows.Row]:
            due = []
            for endpoint in endpoints:
                due += self._pick("due_deliveries", {"endpoint": endpoint, "now_ms": now_ms, "most": each})
            for payment_id, version, endpoint_id, *_ in due:
                self._run("lend_delivery", (payment_id, version, endpoint_id, lease_until_ms))
            return due

        lent = []
        for row in await self._write(work):
            delivery = rows.delivery_of(row[:8], rows.event_of(row[8:]))
            lent.append(msgspec.structs.replace(delivery, due_ms=lease_until_ms))
        return lent

    async def due_endpoints(self, now_ms: int) -> list[str]:
        """Endpoints that have a delivery due; also those that were removed, so that it is put away."""
        return [id_ for (id_,) in self._read("due_endpoints", {"now_ms": now_ms})]

    async def mark_deliveries(self, marks: Sequence[DeliveryMark]) -> None:
        """How tries ended. Rides with the next group."""
        for mark in marks:
            rows.check_mark(mark)
        self._pump.mark(marks)

    async def replay(
        self, app: str, now_ms: int, *, payment_id: str = "", version: int = 0, endpoint: str = "",
        status: str = "parked", limit: int = 1000,
    ) -> int:  # fmt: skip
        """Make deliveries of an app due again; how many."""
        name, choice = delivery_choice(
            app, ("", 0, ""), limit, status=status, payment_id=payment_id, version=version, endpoint=endpoint
        )

        def work() -> int:
            chosen = self._pick(name, choice)
            for row in chosen:
                self._run("replay_delivery", (*row[:3], now_ms))
            return len(chosen)

        return await self._write(work)

    # -- health ----------------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Raises Unavailable when the store does not answer."""
        self._read("ping")

    async def stats(self, now_ms: int) -> Mapping[str, float]:
        """For metrics."""
        ((due, first_ms, deliveries, parked, cases),) = await self._list("stats", now_ms=now_ms)
        return {
            "payments_due": float(due),
            "payments_due_age_ms": float(max(0, now_ms - first_ms)) if first_ms is not None else 0.0,
            "deliveries_due": float(deliveries),
            "deliveries_parked": float(parked),
            "cases_open": float(cases),
            "feed_lag": 0.0,  # what is committed is in the feed
            "changes_waiting": float(self._pump.waiting),
        }

    def abandon(self) -> None:
        """Let go at once, as a process does that is killed: what is not committed is rolled back. For who simulates
        one (``inline``: no thread is left)."""
        for link in (self._writer.link, self._near, self._far):
            link.close(True)  # noqa: FBT003 - apsw's own manner: whatever it is in the middle of

    async def close(self) -> None:
        """Finish what is queued, then let go."""
        await self._pump.close()
        if self._checkpoints is not None:
            await self._checkpoints.close()
        self._lists.close()
        self._far.close()
        self._near.close()
        await self._writer.close()


class Checkpoints:
    """Empties the log beside the writer."""

    def __init__(self, settings: Settings, writer: Writer) -> None:
        self._writer = writer
        self._every_s = settings.checkpoint_ms / 1000
        self._link = connect(settings, writer=False)
        self._pages_max = settings.wal_max_mb * 2**20 // int(self._link.pragma("page_size"))
        self._thread = Thread("checkpoints", inline=False)
        self._restart_in = 0  # rounds
        self._task = asyncio.get_running_loop().create_task(self._run(), name="oncepay-checkpoints")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.once()
            except apsw.Error as error:  # a full disk: the log stays, and the next round tries again
                self._writer.wrote = True
                log.warning("checkpoint.failed why=%s", error)

    async def once(self) -> tuple[int, int]:
        """One round; pages in the log, and pages of it that are in the database."""
        if not self._writer.wrote:
            return 0, 0
        self._writer.wrote = False
        pages, done = await self._thread.run(lambda: self._link.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE))
        if done < pages:
            self._writer.wrote = True
        self._restart_in = max(0, self._restart_in - 1)
        if pages > self._pages_max and not self._restart_in:
            await self._writer.alone(self._restart)
        return pages, done

    def _restart(self) -> None:
        """Start the log from its beginning. Readers may still be in it: then later."""
        self._link.set_busy_timeout(RESTART_WAIT_MS)
        try:
            self._link.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            self._restart_in = RESTART_AGAIN

    async def close(self) -> None:
        """After the round that is under way."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._thread.close()
        self._link.close()
