"""The shop's own books: orders, and what the shop did about them, in a sqlite3 file.

A consumer as every consumer of events should be: it drops versions that are not newer than what it has, and acts on
the *difference* between the snapshot and what it knows, in the transaction that stores the snapshot. So it does not
matter how often, in which order, or how late it is told.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

_STATEMENT: Final = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name:|\Z)", re.MULTILINE | re.DOTALL)
SQL: Final = dict(_STATEMENT.findall(Path(__file__).with_name("shop.sql").read_text("utf-8")))
SURPLUS: Final = "surplus"


class Deed(msgspec.Struct, frozen=True):
    """Something the shop did once. ``minor``: what it moved in the shop's cash book, minor units."""

    what: str
    minor: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the shop has it. ``version``: of the payment, -1 before anything was told. ``told``: how many
    messages about it came, repeats too."""

    order_no: str
    subject: str
    minor: int
    ordered_ms: int
    payment: str
    credential: dict[str, Any]  # what the payer gets, as the centre gave it
    version: int
    status: str
    snapshot: dict[str, Any]
    told: int
    deeds: tuple[Deed, ...]

    @property
    def cash(self) -> int:
        """What the shop has of it by its own books, minor units."""
        return sum(deed.minor for deed in self.deeds)


def differences(known: dict[str, Any], told: dict[str, Any]) -> Iterator[Deed]:
    """What has to be done, given what was known and what is told now."""
    if told["paid"] and not known.get("paid"):
        yield Deed("shipped", told["paid"]["minor"])
    if told["status"] == "closed" and known.get("status") != "closed":
        yield Deed("cancelled", 0)
    done = {refund["refund_no"] for refund in known.get("refunds", ()) if refund["status"] == "done"}
    for refund in told["refunds"]:
        if refund["status"] != "done" or refund["refund_no"] in done:
            continue
        if refund["origin"] == SURPLUS:
            yield Deed("late money went back", 0)  # it never was the shop's
        else:
            yield Deed(f"refunded {refund['refund_no']}", -refund["minor"])


class Books:
    """Orders and deeds."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._link = sqlite3.connect(path, isolation_level=None)
        self._link.row_factory = sqlite3.Row
        self._now_ms = now_ms
        for name in ("create_orders", "create_deeds"):
            self._link.execute(SQL[name])

    def add(self, order_no: str, subject: str, minor: int) -> None:
        """Take an order on; the same again is the same."""
        values = {"order_no": order_no, "subject": subject, "minor": minor, "ordered_ms": self._now_ms()}
        self._link.execute(SQL["add_order"], values)

    def started(self, order_no: str, payment: str, credential: dict[str, Any]) -> None:
        """The centre answered: which payment it is, and what to show."""
        values = {"order_no": order_no, "payment": payment, "credential": msgspec.json.encode(credential).decode()}
        self._link.execute(SQL["start_order"], values)

    def take(self, told: dict[str, Any]) -> tuple[Deed, ...]:
        """Take in a snapshot; what had to be done because of it: nothing, if it is not news. KeyError for an order that
        is not ours."""
        order_no = told["order_no"]
        with self._transaction():
            known = self.order(order_no)
            if known is None:
                raise KeyError(order_no)
            self._link.execute(SQL["count_told"], {"order_no": order_no})
            if not self._is_news(known, told):
                return ()
            deeds = tuple(differences(known.snapshot, told))
            for deed in deeds:
                values = {"order_no": order_no, "what": deed.what, "minor": deed.minor, "at_ms": self._now_ms()}
                self._link.execute(SQL["add_deed"], values)
            self._link.execute(
                SQL["take_snapshot"],
                {
                    "order_no": order_no,
                    "version": told["version"],
                    "status": told["status"],
                    "snapshot": msgspec.json.encode(told).decode(),
                },
            )
        return deeds

    def _is_news(self, known: Order, told: dict[str, Any]) -> bool:
        return bool(told["version"] > known.version)

    def order(self, order_no: str) -> Order | None:
        """One order with its deeds."""
        row = self._link.execute(SQL["read_order"], {"order_no": order_no}).fetchone()
        return self._order(row) if row else None

    def orders(self) -> list[Order]:
        """The newest."""
        return [self._order(row) for row in self._link.execute(SQL["list_orders"])]

    def close(self) -> None:
        """Let go of the file."""
        self._link.close()

    def _order(self, row: sqlite3.Row) -> Order:
        fields = dict(row)
        deeds = self._link.execute(SQL["read_deeds"], {"order_no": fields["order_no"]})
        for name in ("snapshot", "credential"):
            fields[name] = msgspec.json.decode(fields[name])
        return Order(**fields, deeds=tuple(Deed(deed["what"], deed["minor"]) for deed in deeds))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._link.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._link.execute("ROLLBACK")
            raise
        self._link.execute("COMMIT")
