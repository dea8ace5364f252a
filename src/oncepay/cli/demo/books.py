"""The shop's own books in a sqlite3 file, behind the three guards: orders, and what the shop did about them.

As the shops of ``examples/`` do it, with more to look at. Each deed is written in the transaction in which the inbox
remembers that it was done; so it does not matter how often, in which order, how late or by which road the news come.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from oncepay.client import Around, Payment
from oncepay.client.guards import Inbox, Milestone, SubmissionGuard, Watch, link_of, transactions
from oncepay.client.guards.watch import Makes

_STATEMENT: Final = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name:|\Z)", re.MULTILINE | re.DOTALL)
SQL: Final = dict(_STATEMENT.findall(Path(__file__).with_name("shop.sql").read_text("utf-8")))
BUSY_S: Final = 30.0  # many threads of a storm write into one file
CLICK_S: Final = 86_400.0  # a click carries a number, so it is never another wish to buy


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
    told: int
    deeds: tuple[Deed, ...]

    @property
    def cash(self) -> int:
        """What the shop has of it by its own books, minor units."""
        return sum(deed.minor for deed in self.deeds)


def deed_of(milestone: Milestone) -> Deed:
    """What has to be done about it."""
    match milestone.word, milestone.refund:
        case "paid", _:
            return Deed("shipped", milestone.payment.minor)
        case "closed", _:
            return Deed("cancelled", 0)
        case "surplus.refunded", _:
            return Deed("late money went back", 0)  # it never was the shop's
        case _, refund:
            assert refund is not None
            return Deed(f"refunded {refund.refund_no}", -refund.minor)


class Books:
    """Orders and deeds. ``now_ms``: the shop's clock."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._now_ms = now_ms
        around = Around(now_ms=now_ms)
        begin = transactions.dbapi(self._connect)
        self._guard = SubmissionGuard(begin, window_s=CLICK_S, around=around)
        self._inbox = Inbox(begin, around=around)
        self._inbox.on("paid", "closed", "refund.done", "refund.outside", "surplus.refunded")(self._act)
        self._inbox.ignore("refund.failed")  # the money stayed
        self._around = around
        self.watch: Watch[sqlite3.Connection] | None = None
        with begin() as db:
            link_of(db).make_tables()
            for name in ("create_orders", "create_deeds"):
                db.execute(SQL[name])

    def join(self, client: Makes) -> None:
        """Whom to ask for what was not told."""
        self.watch = Watch(client, self._inbox, absent=self._never_asked, around=self._around)

    def add(self, click: str, order_no: str, subject: str, minor: int) -> str:
        """Take an order on; its number. The same click again is the same order."""
        values = {"order_no": order_no, "subject": subject, "minor": minor, "ordered_ms": self._now_ms()}

        def create(db: sqlite3.Connection) -> None:
            db.execute(SQL["add_order"], values)
            if self.watch is not None:
                self.watch.register(db, order_no)

        submission = self._guard.once({"click": click}, order_no, create)
        assert submission.order_no is not None
        return submission.order_no

    def started(self, order_no: str, payment: str, credential: dict[str, Any]) -> None:
        """The centre answered: which payment it is, and what to show."""
        values = {"order_no": order_no, "payment": payment, "credential": msgspec.json.encode(credential).decode()}
        with self._open() as db, db:
            db.execute(SQL["start_order"], values)

    def take(self, told: Payment) -> tuple[Deed, ...]:
        """Take news in; what had to be done because of them: nothing, if they are none. Raises KeyError for an order
        that is not ours."""
        with self._open() as db, db:
            if db.execute(SQL["count_told"], {"order_no": told.order_no}).rowcount != 1:
                raise KeyError(told.order_no)
        return tuple(map(deed_of, self._inbox.take(told)))

    def order(self, order_no: str) -> Order | None:
        """One order with its deeds."""
        with self._open() as db:
            row = db.execute(SQL["read_order"], {"order_no": order_no}).fetchone()
            return _order(db, row) if row else None

    def orders(self) -> list[Order]:
        """The newest."""
        with self._open() as db:
            return [_order(db, row) for row in db.execute(SQL["list_orders"]).fetchall()]

    # -- behind the guards ---------------------------------------------------------------------------------------

    def _act(self, db: sqlite3.Connection, milestone: Milestone) -> None:
        self._enter(db, milestone.payment.order_no, milestone.payment.status, deed_of(milestone))

    def _never_asked(self, db: sqlite3.Connection, order_no: str) -> None:
        """Nobody can pay it any more."""
        self._enter(db, order_no, "closed", Deed("cancelled", 0))

    def _enter(self, db: sqlite3.Connection, order_no: str, status: str, deed: Deed) -> None:
        db.execute(SQL["set_status"], {"order_no": order_no, "status": status})
        values = {"order_no": order_no, "what": deed.what, "minor": deed.minor, "at_ms": self._now_ms()}
        db.execute(SQL["add_deed"], values)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=BUSY_S)
        db.row_factory = sqlite3.Row
        return db

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as db:
            yield db


def _order(db: sqlite3.Connection, row: sqlite3.Row) -> Order:
    fields = dict(row)
    deeds = db.execute(SQL["read_deeds"], {"order_no": fields["order_no"]})
    fields["credential"] = msgspec.json.decode(fields["credential"])
    return Order(**fields, deeds=tuple(Deed(deed["what"], deed["minor"]) for deed in deeds))
