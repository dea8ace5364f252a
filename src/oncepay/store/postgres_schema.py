"""Making and changing tables on PostgreSQL: the shared migrations, and the monthly partitions of raw bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import asyncpg

from oncepay.store.migrations import INSTALLATION, POSTGRES_WORDS, drawn, migrations, pending, rendered
from oncepay.store.postgres_link import Book, Link
from oncepay.store.refusals import MigrationRefused

RACES_MAX: Final = 5
PIECE: Final = 5_000  # rows dropped at a time
MADE_BY_ANOTHER: Final = (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError)


async def migrate_schema(link: Link, book: Book, token: Callable[[], str] | None) -> Mapping[str, str]:
    """Apply what is not applied yet, in one transaction; the facts about the installation.

    token: the dice, asked only when the installation is new; None: change nothing, only look.
    Raises MigrationRefused for tables of another release, or, when only looking, for tables that are not up to date.
    """
    try:
        if token is not None:
            await _apply(link, book, token)
        applied = await link.fetch(*book.call("read_applied"))
        meta = {row["name"]: row["value"] for row in await link.fetch(*book.call("read_meta"))}
    except asyncpg.UndefinedTableError:
        raise MigrationRefused("the database has no tables yet; run `oncepay migrate`") from None
    if pending([tuple(row) for row in applied], migrations()):
        raise MigrationRefused("the tables are of an older release; run `oncepay migrate`")
    return meta


async def _apply(link: Link, book: Book, token: Callable[[], str]) -> None:
    for race in range(RACES_MAX):
        try:
            await link.execute(*book.call("create_records"))
            break
        except MADE_BY_ANOTHER:  # IF NOT EXISTS looks before it leaps
            if race == RACES_MAX - 1:
                raise
    applied = await link.fetch(*book.call("read_applied"))
    if not pending([tuple(row) for row in applied], migrations()):
        return  # the usual start takes no lock
    async with link.transaction():
        await link.execute(*book.call("free_limits"))
        await link.execute(*book.call("lock_migrations"))
        applied = await link.fetch(*book.call("read_applied"))
        for migration in pending([tuple(row) for row in applied], migrations()):
            await link.execute(rendered(migration.text, POSTGRES_WORDS))
            await link.execute(
                *book.call(
                    "record_migration", number=migration.number, name=migration.name, checksum=migration.checksum
                )
            )
        meta = await link.fetch(*book.call("read_meta"))
        if INSTALLATION not in {row["name"] for row in meta}:
            for name, value in drawn(token()).items():
                await link.execute(*book.call("draw_meta", name=name, value=value))


async def make_raw_months(link: Link, book: Book) -> list[int]:
    """Make partitions for this month and the two after it; the months that were made now, as yyyymm.

    Bytes that come for a month without a partition are kept in ``raw_rest``, so to be late with this loses nothing.
    """
    coming = {row["month"] for row in await link.fetch(*book.call("read_coming_months"))}
    if not coming - await _raw_months(link, book):
        return []
    async with link.transaction():
        await link.execute(*book.call("free_limits"))
        await link.execute(*book.call("lock_raw"))
        missing = sorted(coming - await _raw_months(link, book))
        for month in missing:
            await link.execute(_for_month(book, "make_raw_month", month))
    return missing


async def drop_raw_months(link: Link, book: Book, before: int) -> list[int]:
    """Drop the bytes of all months before ``before`` (yyyymm); the partitions that went. The facts stay."""
    old = sorted(month for month in await _raw_months(link, book) if month < before)
    for month in old:
        await link.execute(_for_month(book, "drop_raw_month", month))
    while await link.execute(*book.call("drop_raw_rest", month=before, limit_=PIECE)) == f"DELETE {PIECE}":
        pass
    return old


async def _raw_months(link: Link, book: Book) -> set[int]:
    return {row["month"] for row in await link.fetch(*book.call("read_raw_months"))}


def _for_month(book: Book, name: str, month: int) -> str:
    """Names of tables cannot be parameters; a month is a number, so nothing else can get in."""
    text: str = book.call(name)[0]
    return text.replace("$MONTH", f"{month:06d}")
