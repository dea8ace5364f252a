"""UnionPay's own books: payments and what reverses them, found by any of their numbers.

A transaction is known by merchant, orderId and txnTime together. Kept in memory; each change of an
order is noted in the journal.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from oncepay.sandbox.clock import Clock, beijing, rfc3339
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.unionpay.wire import Fields
from oncepay.sandbox.vendor import RefundRow, Row

CUT: Final = dt.timedelta(hours=1)  # a settlement day ends at 23:00
TRACE_FIRST: Final = 100_000
FEE_BASIS_POINTS: Final = 60  # 0.60 %


class Reversal(msgspec.Struct):
    """A refund, a void, or what went back by itself. Times in epoch seconds.

    state: PROCESSING, SUCCESS, FAILED. fields: the request's content; empty when no request asked for it.
    """

    number: str
    kind: str  # refund, void, console, late
    amount: int
    fields: Fields
    created: float
    trace_no: str
    query_id: str
    outcome: str = "00"  # the respCode it will end with
    outcome_due: float = 0.0
    state: str = "PROCESSING"
    done: float | None = None
    fee: int = 0  # the part of our fee that goes back, fen
    asked: float = 0.0  # when a query was answered last


class Order(msgspec.Struct):
    """One payment. Times in epoch seconds.

    code: in its cashier's address. resp_code: what a query tells of it, once the payer has tried.
    """

    number: str
    txn_time: str
    mer_id: str
    product: str  # front, app, qr
    total: int
    fields: Fields  # the first request's content
    created: float
    expires: float
    code: str
    tn: str = ""
    qr_code: str = ""
    resp_code: str = "05"
    paid: float | None = None
    trace_no: str = ""
    query_id: str = ""
    fee: int = 0
    hidden_queries: int = 0  # how many more queries show 05 although it is paid
    asked: float = 0.0  # when a query was answered last
    cancelled: bool = False  # the payer left the cashier page
    changed: float = 0.0
    reversals: list[Reversal] = []

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.mer_id, self.number, self.txn_time

    @property
    def reserved(self) -> int:
        """What went back or is on its way, fen; a failed reversal gave its part free again."""
        return sum(reversal.amount for reversal in self.reversals if reversal.state != "FAILED")

    def state(self, now: float) -> str:
        """For the books: NOTPAY, FAILED (the last try), CLOSED (payTimeout), SUCCESS, REFUND, VOIDED."""
        gone = [reversal for reversal in self.reversals if reversal.state == "SUCCESS"]
        if any(reversal.kind == "void" for reversal in gone):
            return "VOIDED"
        if gone:
            return "REFUND"
        if self.paid is not None:
            return "SUCCESS"
        if now >= self.expires:
            return "CLOSED"
        return "NOTPAY" if self.resp_code == "05" else "FAILED"


class Books:
    """All payments and reversals, by every number they have."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._orders: dict[tuple[str, str, str], Order] = {}
        self._by_key: dict[str, Order] = {}  # code, tn, qrCode, number: the latest of that number
        self._by_query_id: dict[str, Order] = {}
        self._reversals: dict[tuple[str, str, str], tuple[Order, Reversal]] = {}
        self._by_number: dict[str, list[Order]] = {}  # also by the numbers of what reverses them
        self._payments: set[tuple[str, str]] = set()  # merchant and orderId, at whatever txnTime
        self._refunds_and_voids: set[tuple[str, str]] = set()
        self._trace = TRACE_FIRST
        self._net: dict[str, int] = {}

    def restore(self, kept: Iterable[bytes]) -> list[Order]:
        """Take in what the journal kept."""
        decode = msgspec.json.Decoder(Order).decode
        orders = sorted((decode(raw) for raw in kept), key=lambda order: order.created)
        for order in orders:
            self._index(order)
            if order.paid is not None:
                self.moved(order.mer_id, order.total - order.fee)
                self._trace = max(self._trace, int(order.trace_no))
            for reversal in order.reversals:
                self._index_reversal(order, reversal)
                self._trace = max(self._trace, int(reversal.trace_no))
                if reversal.state != "FAILED":
                    self.moved(order.mer_id, reversal.fee - reversal.amount)
        return orders

    def add(self, order: Order) -> None:
        self._index(order)
        self.changed(order)

    def add_reversal(self, order: Order, reversal: Reversal) -> None:
        order.reversals.append(reversal)
        self._index_reversal(order, reversal)
        self.moved(order.mer_id, reversal.fee - reversal.amount)
        self.changed(order)

    def paid(self, order: Order) -> None:
        """Index the queryId an order just got, and count its money."""
        self._by_query_id[order.query_id] = order
        self.moved(order.mer_id, order.total - order.fee)
        self.changed(order)

    def changed(self, order: Order) -> None:
        """An order changed: stamp it and note it."""
        order.changed = self._clock.now()
        self._journal.note("unionpay.order", "/".join(order.identity), order)

    def moved(self, mer_id: str, fen: int) -> None:
        """Money came to the merchant's balance, or left it."""
        self._net[mer_id] = self._net.get(mer_id, 0) + fen

    def net(self, mer_id: str) -> int:
        """What the merchant's balance gained, fen: payments less fees, less what went back."""
        return self._net.get(mer_id, 0)

    def order(self, mer_id: str, number: str, txn_time: str) -> Order | None:
        return self._orders.get((mer_id, number, txn_time))

    def reversal(self, mer_id: str, number: str, txn_time: str) -> tuple[Order, Reversal] | None:
        return self._reversals.get((mer_id, number, txn_time))

    def is_payment(self, mer_id: str, number: str) -> bool:
        """Whether a payment of the merchant has this orderId, at whatever txnTime."""
        return (mer_id, number) in self._payments

    def is_reversal(self, mer_id: str, number: str) -> bool:
        """Whether a refund or void of the merchant has this orderId, at whatever txnTime."""
        return (mer_id, number) in self._refunds_and_voids

    def transaction(self, mer_id: str, query_id: str) -> Order | None:
        """The merchant's payment of that queryId."""
        order = self._by_query_id.get(query_id)
        return order if order is not None and order.mer_id == mer_id else None

    def find(self, key: str) -> Order | None:
        """A payment by number, tn, qrCode, queryId, code, or the address of its cashier."""
        key = key.rpartition("/cashier/")[2] if "/cashier/" in key else key
        return self._by_key.get(key) or self._by_query_id.get(key)

    def orders(self, mer_id: str | None = None) -> Iterator[Order]:
        """All payments, oldest first."""
        return (order for order in self._orders.values() if mer_id in (None, order.mer_id))

    def rows(self, number: str | None, since: float | None) -> list[Row]:
        """The books as everyone sees them: one number, or all that changed at ``since`` or later."""
        now = self._clock.now()
        if number is None:
            return [row(order, now) for order in self.orders() if since is None or order.changed >= since]
        return [row(order, now) for order in self._by_number.get(number, [])]

    def next_trace(self) -> str:
        """A network trace number: six digits."""
        self._trace = self._trace % 999_999 + 1
        return f"{self._trace:06d}"

    def _index(self, order: Order) -> None:
        self._orders[order.identity] = order
        self._payments.add((order.mer_id, order.number))
        self._by_number.setdefault(order.number, []).append(order)
        for key in (order.number, order.code, order.tn, order.qr_code):
            if key:
                self._by_key[key] = order
        if order.query_id:
            self._by_query_id[order.query_id] = order

    def _index_reversal(self, order: Order, reversal: Reversal) -> None:
        self._by_number.setdefault(reversal.number, []).append(order)
        if reversal.fields:
            self._refunds_and_voids.add((order.mer_id, reversal.number))
            self._reversals[order.mer_id, reversal.number, reversal.fields["txnTime"]] = (order, reversal)


def fee(amount: int) -> int:
    """The vendor's fee on an amount, fen, rounded half up."""
    return (amount * FEE_BASIS_POINTS + 5000) // 10000


def query_id(txn_time: str, trace_no: str) -> str:
    """UnionPay's number of a transaction, built as the captured ones are.

    >>> query_id("20260301123045", "100123")
    '312603011230451001238'
    """
    return f"31{txn_time[2:]}{trace_no}8"


def settle_day(moment: float) -> dt.date:
    """The settlement day of a moment (epoch seconds): from 23:00 to 23:00 Beijing time."""
    return (beijing(moment) + CUT).date()


def row(order: Order, now: float) -> Row:
    """One payment for the books."""
    state = order.state(now)
    return Row(
        channel="unionpay",
        number=order.number,
        merchant=order.mer_id,
        method=order.product,
        state=state,
        amount=order.total,
        paid=order.total if order.paid is not None else 0,
        refunded=sum(r.amount for r in order.reversals if r.state == "SUCCESS"),
        currency="CNY",
        created=rfc3339(order.created),
        expires=rfc3339(order.expires),
        paid_at=None if order.paid is None else rfc3339(order.paid),
        closed_at=rfc3339(order.expires) if state == "CLOSED" else None,
        transaction_id=order.query_id or None,
        attach=order.fields.get("reqReserved"),
        refunds=[
            RefundRow(
                number=reversal.number,
                refund_id=reversal.query_id,
                amount=reversal.amount,
                status=reversal.state,
                created=rfc3339(reversal.created),
                done=None if reversal.done is None else rfc3339(reversal.done),
            )
            for reversal in order.reversals
        ],
    )
