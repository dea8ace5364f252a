"""Whether a PostgreSQL server may hold payments, and how it could hold them faster.

A setting under which an acknowledged commit may be lost is a refusal, at the start and on every new connection (a
failover may lead to a server that is set up differently). What costs only speed is advice, for ``oncepay doctor``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import asyncpg
import msgspec

from oncepay.store.postgres_link import Book
from oncepay.store.refusals import ConfigUnsafe, StartRefused

VERSION_MIN: Final = 140000  # unnest, xid8 and MATERIALIZED are older; 13 gets no more repairs

# Setting -> the values under which what was acknowledged is on disk (or on the standbys that were asked for).
SAFE: Final[Mapping[str, tuple[str, ...]]] = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
    "data_sync_retry": ("off",),  # on: a failed fsync is tried again, and the second lies
    "zero_damaged_pages": ("off",),
    "ignore_checksum_failure": ("off",),
    "transaction_read_only": ("off",),
    "server_encoding": ("UTF8",),
}

# Bytes and milliseconds per unit of pg_settings.
UNITS: Final[Mapping[str, int]] = {
    "B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20, "GB": 1 << 30, "ms": 1, "s": 1_000, "min": 60_000,
}  # fmt: skip


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One line for ``oncepay doctor``. ``level``: ``unsafe`` (a commit may be lost), ``warning`` (damage goes unseen,
    or it slows down with time), ``advice`` (it could be faster), ``fine``."""

    name: str
    actual: str
    recommended: str
    level: Literal["fine", "advice", "warning", "unsafe"]
    why: str


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What we recommend for a setting. ``met`` takes the number in bytes or milliseconds, else the word."""

    recommended: str
    met: Callable[[str], bool]
    why: str
    level: Literal["advice", "warning"] = "advice"


ADVICE: Final[Mapping[str, Advice]] = {
    "data_checksums": Advice(
        recommended="on",
        met=lambda value: value == "on",
        why="finds pages that the disk has changed; while off nothing acknowledged is lost by it, so it is no refusal",
        level="warning",
    ),
    "autovacuum": Advice(
        recommended="on",
        met=lambda value: value == "on",
        why="due times move all day, and dead rows slow claims",
        level="warning",
    ),
    "wal_compression": Advice(
        recommended="lz4",
        met=lambda value: value in {"lz4", "zstd"},
        why="ids are hashes: nearly every change is the first of its page and logs it whole",
    ),
    "checkpoint_timeout": Advice(
        recommended="30min",
        met=lambda value: int(value) >= 30 * 60_000,
        why="after each checkpoint every page is logged whole again",
    ),
    "max_wal_size": Advice(
        recommended=">= 8GB",
        met=lambda value: int(value) >= 8 << 30,
        why="else checkpoints come earlier than checkpoint_timeout",
    ),
    "shared_buffers": Advice(
        recommended=">= 256MB",
        met=lambda value: int(value) >= 256 << 20,
        why="the keys of recent payments should stay in memory",
    ),
    "jit": Advice(
        recommended="off",
        met=lambda value: value == "off",
        why="it never pays for keyed statements (our own sessions turn it off)",
    ),
}


class ServerUnsafe(StartRefused):
    """The server may lose what it acknowledged. ``faults``: one for each setting."""

    def __init__(self, faults: tuple[StartRefused, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


async def check(link: asyncpg.Connection[asyncpg.Record], book: Book) -> None:
    """Refuse a server that may lose a commit. Raises ServerUnsafe naming every reason."""
    rows = await link.fetch(*book.call("read_settings", names=list(SAFE)))
    server = await link.fetchrow(*book.call("read_server"))
    assert server is not None
    found = {row["name"]: row["setting"] for row in rows}
    faults: list[StartRefused] = [
        ConfigUnsafe(name, found[name], " or ".join(wanted))
        for name, wanted in SAFE.items()
        if name in found and found[name] not in wanted
    ]
    if server["standby"]:
        faults.append(StartRefused("the server is a standby in recovery; money is decided on the primary only"))
    if server["version"] < VERSION_MIN:
        faults.append(StartRefused(f"the server is PostgreSQL {server['version_text']}; 14 or newer is needed"))
    if server["unlogged"]:
        faults.append(StartRefused(f"unlogged tables lose all rows in a crash: {server['unlogged']}"))
    if faults:
        raise ServerUnsafe(tuple(faults))


async def examine(link: asyncpg.Connection[asyncpg.Record], book: Book) -> list[Setting]:
    """Every setting that we have an opinion on: what it is, what it should be, and why."""
    rows = await link.fetch(*book.call("read_settings", names=[*SAFE, *ADVICE]))
    found = {row["name"]: row for row in rows}
    report = [
        Setting(
            name=name,
            actual=found[name]["setting"],
            recommended=" or ".join(wanted),
            level="fine" if found[name]["setting"] in wanted else "unsafe",
            why="an acknowledged payment may be lost otherwise",
        )
        for name, wanted in SAFE.items()
        if name in found
    ]
    for name, advice in ADVICE.items():
        if name in found:
            value, unit = found[name]["setting"], found[name]["unit"]
            size = str(int(value) * UNITS[unit]) if unit in UNITS else value
            report.append(
                Setting(
                    name=name,
                    actual=f"{value} x {unit}" if unit and unit[0].isdigit() else f"{value}{unit or ''}",
                    recommended=advice.recommended,
                    level="fine" if advice.met(size) else advice.level,
                    why=advice.why,
                )
            )
    return report
