"""The tables, as numbered files that are applied once each, forward only. Both databases apply the same files.

What was applied is recorded with the file's checksum, in the transaction that applied it. A database that was made by
an edited file, or by a newer release, is refused: nothing can be said about what would happen to money in it. Two
processes that start at once are serialized by the database (SQLite: its one writer; PostgreSQL: a lock on the table of
records), and the second finds nothing to do.

The first migration also draws the installation id, from which the ids of all payments are made, and the first epoch of
the event feed. Both come from the caller's dice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Final, NamedTuple

from oncepay.store.refusals import MigrationRefused
from oncepay.store.statements import SQL

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_WORD = re.compile(r"\{([A-Z_]+)\}")

INSTALLATION: Final = "installation"
EPOCH: Final = "epoch"
DIRECTORY: Final = "directory"  # a counter: goes up whenever an app, account or endpoint is saved

SQLITE_WORDS: Final[Mapping[str, str]] = {
    "C": "",
    "BYTES": "BLOB",
    "HOT_PAYMENT": "",
    "HOT_DELIVERY": "",
    "PART_RAW": "",
    "POSTGRES": "--",  # a line that is not for SQLite
    "POS": "pos INTEGER PRIMARY KEY AUTOINCREMENT,",  # one writer: what commits later has the higher number
    "EVENT_KEY": "UNIQUE",
}

POSTGRES_WORDS: Final[Mapping[str, str]] = {
    "C": 'COLLATE "C"',  # ids are compared as bytes, the same on every machine
    "BYTES": "BYTEA",
    # Room in each page for the next revision (HOT updates), early vacuum, and rows kept out of TOAST up to 4 KB.
    "HOT_PAYMENT": """WITH (
  fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 0, toast_tuple_target = 4080
)""",
    "HOT_DELIVERY": """WITH (
  fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0
)""",
    "PART_RAW": "PARTITION BY RANGE (month)",
    "POSTGRES": "",
    # A sequence would skip what commits late; the transaction's own id, read below the oldest running one, cannot.
    "POS": "pos XID8 NOT NULL DEFAULT pg_current_xact_id(),",
    "EVENT_KEY": "PRIMARY KEY",
}


class Migration(NamedTuple):
    """One file. ``checksum``: of its text, words not yet replaced, so that both databases record the same."""

    number: int
    name: str
    text: str
    checksum: str


class Applied(NamedTuple):
    """A row of the record."""

    number: int
    name: str
    checksum: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All of this release, oldest first."""
    found = []
    for file in SQL.joinpath("migrations").iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            text = file.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), match[2], text, checksum(text)))
    return tuple(sorted(found))


def checksum(text: str) -> str:
    """128 bits of blake2b in hex."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def rendered(text: str, words: Mapping[str, str]) -> str:
    """The text with a database's own words. A word without a meaning is a KeyError."""
    return _WORD.sub(lambda found: words[found[1]], text)


def pending(applied: Iterable[Sequence[object]], known: Sequence[Migration]) -> list[Migration]:
    """What is still to be applied, in order. ``applied``: rows of number, name, checksum, oldest first.

    Raises MigrationRefused when the database was made by other files than ours.
    """
    rows = [Applied(*row) for row in applied]  # type: ignore[arg-type]  # a driver's row
    for ours, theirs in zip(known, rows, strict=False):
        if ours.number != theirs.number or ours.checksum != theirs.checksum:
            raise MigrationRefused(
                f"migration {theirs.number} ({theirs.name}) was applied from another text than this release's"
            )
    if len(rows) > len(known):
        raise MigrationRefused(f"migration {rows[-1].number} ({rows[-1].name}) is of a newer release than this one")
    return list(known[len(rows) :])


def drawn(token: str) -> dict[str, str]:
    """What is drawn once for an installation. ``token``: 32 unguessable characters from the caller's dice; the epoch is
    made from it, so that one draw is enough."""
    return {
        INSTALLATION: token,
        EPOCH: epoch_of(token),
        DIRECTORY: "0",
    }


def epoch_of(token: str) -> str:
    """An epoch of the event feed, made from a token of the dice."""
    return blake2b(token.encode(), digest_size=6, person=b"epoch").hexdigest()
