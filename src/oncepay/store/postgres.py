"""The ledger on PostgreSQL, through asyncpg.

Changes go through the pump, one connection and one statement a group (``postgres_group``); everything else is a
statement of one round trip on a few connections of its own, all on the primary. No transaction is ever held open while
this process thinks, so a process that stops holds nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import asyncpg
import msgspec

from oncepay.domain.change import Change
from oncepay.domain.errors import Unavailable
from oncepay.ports import DeliveryMark, DeliveryRow, Due, UnappliedRow
from oncepay.store import rows
from oncepay.store.migrations import EPOCH, INSTALLATION, epoch_of
from oncepay.store.postgres_directory import Directory
from oncepay.store.postgres_group import PATIENCE_S, GroupWriter
from oncepay.store.postgres_link import LOST, Book, Calls, Link, Links, connect, words_of
from oncepay.store.postgres_lists import Lists, ids_between
from oncepay.store.postgres_schema import drop_raw_months, make_raw_months, migrate_schema
from oncepay.store.postgres_server import Setting, check, examine
from oncepay.store.pump import Loader, Pump
from oncepay.store.refusals import DatabaseRefused, StartRefused
from oncepay.store.statements import load

log = logging.getLogger("oncepay.store")

SPACING_S: Final = 0.003  # between the starts of two commits, so that changes find company
LINKS: Final = 4  # beside the writer's
WAIT_S: Final = 3.0  # for one of them
CLAIM_MAX: Final = 1000
FROM_ZERO_MS: Final = 60_000
HELD_MAX_S: Final = 60.0  # a commit may wait for a standby, or be asked about; then this process had better start again
MAINTAIN_EVERY_S: Final = 6 * 3600.0


async def open_postgres(
    url: str, *, token: Callable[[], str], migrate: bool = True, links: int = LINKS, patience_s: float = PATIENCE_S
) -> PostgresLedger:
    """Open the ledger. ``url``: ``postgresql://user:password@host:port/database``.

    token: the dice, asked only when the installation is new. migrate: bring the tables up to date.
    patience_s: how long an unknown commit is asked about before its callers get CommitUnknown.
    Raises StartRefused (an unsafe server, tables of another release, one that does not let us in), Unavailable.
    """
    book = Book({**load("postgres"), **load("migrations.sql")})
    meta = await _prepare(url, book, token if migrate else None)
    return PostgresLedger(url, book, meta, links=links, patience_s=patience_s)


async def _prepare(url: str, book: Book, token: Callable[[], str] | None) -> Mapping[str, str]:
    """Check the server and the tables, make the months of raw bytes; the facts about the installation."""

    async def checked(link: Link) -> None:
        await check(link, book)

    try:
        link = await connect(url, checked)
    except Unavailable as error:
        raise _lasting(error.__cause__, error.detail) or error from error.__cause__
    try:
        meta = await migrate_schema(link, book, token)
        with contextlib.suppress(asyncpg.LockNotAvailableError):  # a dump is read: there is raw_rest, and a next time
            await make_raw_months(link, book)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        words = f"the database cannot be prepared: {error}"
        raise _lasting(error, words) or Unavailable(words) from error
    finally:
        await link.leave()
    return meta


def _lasting(error: BaseException | None, words: str) -> DatabaseRefused | None:
    """The refusal, if repeating is no use: the server knows no such role, password or database, gives no right, or has
    tables of another program. One that starts, is full or is not there yet says something else."""
    state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else ""
    return DatabaseRefused(words) if state[:2] in {"28", "3D", "3F", "42"} else None


class PostgresLedger(Lists, Directory):
    """The Ledger. Made by ``open_postgres``."""

    def __init__(self, url: str, book: Book, meta: Mapping[str, str], *, links: int, patience_s: float) -> None:
        self.installation = meta[INSTALLATION]
        self.epoch = meta[EPOCH]
        self._url = url
        self._book = book
        self._links = Links(self._connect, links, WAIT_S)
        self._calls = Calls(self._links, book)
        self._writer = GroupWriter(self._connect, load("postgres/group.sql"), patience_s=patience_s)
        self._pump = Pump(self._writer, spacing_s=SPACING_S)
        self._loader = Loader(self._load_many)
        self._maintenance = asyncio.create_task(self._maintain_for_ever(), name="oncepay-maintenance")
        self._floor_ms = 0  # the smallest due time of the last full batch
        self._from_zero_ms = 0  # when a claim looks below it again

    async def _connect(self) -> Link:
        """A new connection; a server that has become unsafe since the start counts as away."""

        async def checked(link: Link) -> None:
            await check(link, self._book)

        try:
            return await connect(self._url, checked)
        except StartRefused as error:
            raise Unavailable(str(error)) from error

    # -- the aggregate -------------------------------------------------------------------------------------------

    async def _load_many(self, ids: list[str]) -> dict[str, bytes]:
        return {row["id"]: row["doc"] for row in await self._calls.read("load", ids=ids)}

    async def commit(self, change: Change) -> bool:
        """Write all of a change or nothing. Raises Invalid for what no database can hold."""
        rows.check(change)
        return await self._pump.submit(change)

    async def claim_due(self, now_ms: int, lease_until_ms: int, limit: int) -> list[Due]:
        """From the floor of the last batch; and from zero when that comes back short, and once a minute."""
        limit = min(limit, CLAIM_MAX)
        if not 0 < self._from_zero_ms - now_ms <= FROM_ZERO_MS:  # the clock may have been set back, too
            self._floor_ms, self._from_zero_ms = 0, now_ms + FROM_ZERO_MS
            # What is kept was acknowledged: a later change may have put its payment off, and it must not wait for the
            # next one.
            await self._calls.write("bring_kept_back", now_ms=now_ms, late_ms=now_ms + rows.KEPT_MS)
        lent = await self._claim(now_ms, lease_until_ms, limit)
        if len(lent) < limit and self._floor_ms:
            self._floor_ms = 0
            lent += await self._claim(now_ms, lease_until_ms, limit - len(lent))
        self._floor_ms = min(row["due_ms"] for row in lent) if lent and len(lent) == limit else 0
        lent.sort(key=lambda row: (row["due_ms"], row["id"]))
        due = []
        for row in lent:
            try:
                due.append(Due(payment=rows.payment_of(row["doc"]), lease_until_ms=lease_until_ms))
            except msgspec.DecodeError:  # of a newer release, or damaged: it must not stop the others
                log.exception("payment.unreadable payment=%s", row["id"])
        return due

    async def _claim(self, now_ms: int, lease_until_ms: int, limit: int) -> list[asyncpg.Record]:
        return await self._calls.write(
            "claim_due", now_ms=now_ms, floor_ms=self._floor_ms, lease_until_ms=lease_until_ms, limit_=limit
        )

    async def postpone(self, payment_id: str, lease_until_ms: int, due_ms: int | None) -> bool:
        """Give a lent payment back, unless a commit has set another due time since."""
        moved = await self._calls.write("postpone", id=payment_id, lease_until_ms=lease_until_ms, due_ms=due_ms)
        return bool(moved)

    async def body(self, payment_id: str, no: str) -> bytes | None:
        """The first body sent for a number."""
        found = await self._calls.read("read_body", payment_id=payment_id, no=no)
        return found[0]["body"] if found else None

    async def credential(self, payment_id: str, no: str) -> str | None:
        """A credential that is stored apart."""
        found = await self._calls.read("read_credential", payment_id=payment_id, no=no)
        return found[0]["body"] if found else None

    # -- messages that could not be taken in -----------------------------------------------------------------------

    async def keep_unapplied(self, row: UnappliedRow) -> None:
        """Keep a message that the core could not take in."""
        payment_id, key, channel, account_id, road, body, why, at_ms = rows.unapplied_row(row)
        await self._calls.write(
            "keep_unapplied", payment_id=payment_id, key=key, channel=channel, account_id=account_id, road=road,
            body=body, why=why, at_ms=at_ms,
        )  # fmt: skip

    async def unapplied(self, payment_ids: Sequence[str]) -> list[UnappliedRow]:
        """The kept messages of these payments, oldest first."""
        found = await self._calls.read("read_unapplied", ids=list(payment_ids))
        return [rows.unapplied_of(tuple(row)) for row in found]

    async def drop_unapplied(self, payment_id: str, key: str) -> None:
        """It was taken in."""
        await self._calls.write("drop_unapplied", payment_id=payment_id, key=key)

    # -- deliveries ------------------------------------------------------------------------------------------------

    async def claim_deliveries(
        self, now_ms: int, lease_until_ms: int, endpoints: Sequence[str], each: int
    ) -> list[DeliveryRow]:
        """Lend due deliveries with their events, at most ``each`` for each endpoint."""
        lent = await self._calls.write(
            "claim_deliveries", endpoints=list(endpoints), now_ms=now_ms, lease_until_ms=lease_until_ms, each=each
        )
        return [
            rows.delivery_of(
                tuple(row)[:8],
                rows.event_of(
                    (row["payment_id"], row["version"], row["app_id"], row["changes"], row["data"], row["at_ms"])
                ),
            )
            for row in lent
        ]

    async def due_endpoints(self, now_ms: int) -> list[str]:
        """Endpoints that have a delivery due; also those that were removed, so that it is put away."""
        return [row["id"] for row in await self._calls.read("due_endpoints", now_ms=now_ms)]

    async def mark_deliveries(self, marks: Sequence[DeliveryMark]) -> None:
        """How tries ended. Rides with the next group."""
        for mark in marks:
            rows.check_mark(mark)
        self._pump.mark(marks)

    async def replay(
        self,
        app: str,
        now_ms: int,
        *,
        payment_id: str = "",
        version: int = 0,
        endpoint: str = "",
        status: str = "parked",
        limit: int = 1000,
    ) -> int:
        """Make deliveries of an app due again; how many."""
        first, last = ids_between(payment_id)
        choice = {
            "app": app, "now_ms": now_ms, "payment_first": first, "payment_last": last, "version": version,
            "endpoint": endpoint, "limit_": limit,
        }  # fmt: skip
        if status == "parked":
            return len(await self._calls.write("replay_parked", **choice))
        return len(await self._calls.write("replay_status", status=status, **choice))

    # -- health ----------------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Raises Unavailable when the store does not answer, or not to what is written: a server that froze behind a
        proxy answers on new connections, elsewhere, and never on the writer's."""
        await self._calls.read("ping")
        if self._pump.held_s > HELD_MAX_S:
            raise Unavailable(f"the database has not answered a commit for {self._pump.held_s:.0f} s")

    async def stats(self, now_ms: int) -> Mapping[str, float]:
        """For metrics. Counts stop at ten thousand."""
        (row,) = await self._calls.read("stats", now_ms=now_ms)
        first_ms = row["first_due_ms"]
        return {
            "payments_due": float(row["payments_due"]),
            "payments_due_age_ms": float(max(0, now_ms - first_ms)) if first_ms is not None else 0.0,
            "deliveries_due": float(row["deliveries_due"]),
            "deliveries_parked": float(row["deliveries_parked"]),
            "cases_open": float(row["cases_open"]),
            "feed_lag": float(row["feed_lag"]),
            "changes_waiting": float(self._pump.waiting),
        }

    async def examine(self) -> list[Setting]:
        """The server's settings, as they are and as they should be, for ``oncepay doctor``."""
        async with self._links.lend() as link:
            return await examine(link, self._book)

    async def start_epoch(self, token: str) -> None:
        """After a restore from a backup: cursors of the feed from before start over. Seen by who opens after this."""
        try:
            async with self._links.lend() as link, link.transaction():
                await link.execute(*self._book.call("free_limits"))
                await link.execute(*self._book.call("lower_places"))
                await link.execute(*self._book.call("write_epoch", epoch=epoch_of(token)))
        except (*LOST, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unavailable(f"no epoch could be started: {words_of(error)}") from error

    async def clock_ms(self) -> int:
        """The server's time, milliseconds since 1970."""
        (row,) = await self._calls.read("read_clock")
        return int(row["now_ms"])

    async def forget_raw(self, before: int) -> None:
        """Drop the raw bytes of months before ``before`` (yyyymm); the facts stay."""
        await self._with_tables(lambda link: drop_raw_months(link, self._book, before))

    async def maintain(self) -> None:
        """Make the coming months' place for raw bytes. Raises Unavailable."""
        await self._with_tables(lambda link: make_raw_months(link, self._book))

    async def _with_tables(self, work: Callable[[Link], Awaitable[object]]) -> None:
        """Several processes may do it at once: what another does, or holds, is left to the next time."""
        try:
            async with self._links.lend() as link:
                with contextlib.suppress(asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError):
                    await work(link)
        except (*LOST, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unavailable(f"the months of raw bytes could not be changed: {words_of(error)}") from error

    async def _maintain_for_ever(self) -> None:
        while True:
            await asyncio.sleep(MAINTAIN_EVERY_S)
            try:
                await self.maintain()
            except Unavailable as error:  # there are two months of time, and after them raw_rest
                log.warning("months.not_made why=%s", error)

    async def close(self) -> None:
        """Finish what is queued, then let go."""
        self._maintenance.cancel()
        await self._pump.close()
        await self._writer.close()
        await self._links.close()
