"""The shop's books, read from its own database: nothing here writes."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

_STATEMENT: Final = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name:|\Z)", re.MULTILINE | re.DOTALL)
SQL: Final = dict(_STATEMENT.findall(Path(__file__).with_name("books.sql").read_text("utf-8")))
BUSY_S: Final = 30.0  # many threads of a storm write into one file


class Deed(msgspec.Struct, frozen=True):
    """A line of the shop's journal: what it did once. ``minor``: what that moved in its cash book, minor units."""

    what: str
    minor: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the shop has it. ``payment``, ``version``: as it was told, "" and -1 before anything was."""

    order_no: str
    item: str
    minor: int
    status: str
    payment: str
    version: int
    deeds: tuple[Deed, ...]

    @property
    def cash(self) -> int:
        """What the shop has of it by its own books, minor units."""
        return sum(deed.minor for deed in self.deeds)


class Books:
    """The shop's books in the sqlite3 file at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def order(self, order_no: str) -> Order | None:
        """One order with its deeds."""
        return next(iter(self.orders(order_no)), None)

    def orders(self, order_no: str = "") -> list[Order]:
        """All, the newest first."""
        which, deeds = {"order_no": order_no}, defaultdict(list)
        with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as db:
            db.row_factory = sqlite3.Row
            found = db.execute(SQL["orders"], which).fetchall()
            for number, what, minor in db.execute(SQL["deeds"], which):
                deeds[number].append(Deed(what, minor))
        return [Order(**row, deeds=tuple(deeds[row["order_no"]])) for row in found]
