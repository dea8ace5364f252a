"""WeChat Pay's own books: every order, every refund, found by any of their numbers.

Kept in memory; each change of an order is noted in the journal. A day's numbering of transactions
and refunds goes on over a restart.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from oncepay.sandbox.clock import Clock, beijing, rfc3339
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.vendor import RefundRow, Row

AUTO_CLOSE_S: Final = 7 * 86400
TRADE_TYPES: Final = {"native": "NATIVE", "jsapi": "JSAPI", "h5": "MWEB", "app": "APP"}


class Refund(msgspec.Struct):
    """One refund. ``status``: PROCESSING, SUCCESS, ABNORMAL, CLOSED."""

    number: str
    refund_id: str
    amount: int
    created: float
    asked: str  # canonical parameters, compared when the number comes again
    notify_url: str
    reason: str
    status: str = "PROCESSING"
    done: float | None = None
    outcome: str = "SUCCESS"  # what it will turn into
    outcome_due: float = 0.0
    fee: int = 0  # the part of our fee that goes back, fen
    by_console: bool = False  # made in the merchant console, not by the API


class Order(msgspec.Struct):
    """One order. ``state``: NOTPAY, SUCCESS, REFUND, CLOSED; times in epoch seconds."""

    number: str
    mchid: str
    appid: str
    product: str
    description: str
    total: int
    notify_url: str
    created: float
    expires: float
    body: str  # of the first prepay
    prepay_id: str
    code: str  # what is in the QR code and in the cashier's address
    code_made: float
    attach: str | None = None
    device_id: str = ""
    openid: str = ""
    state: str = "NOTPAY"
    paid: float | None = None
    closed: float | None = None
    transaction_id: str = ""
    fee: int = 0
    hidden_queries: int = 0  # how many more queries show NOTPAY although it is paid
    cancelled: bool = False  # the payer left the cashier page
    changed: float = 0.0
    refunds: list[Refund] = []

    @property
    def refunded(self) -> int:
        """What went back or is on its way, fen; a closed refund gave its part free again."""
        return sum(refund.amount for refund in self.refunds if refund.status != "CLOSED")


class Books:
    """All orders and refunds, by every number they have."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._orders: dict[tuple[str, str], Order] = {}
        self._by_number: dict[str, Order] = {}
        self._by_code: dict[str, Order] = {}
        self._by_prepay: dict[str, Order] = {}
        self._by_transaction: dict[str, Order] = {}
        self._refunds: dict[tuple[str, str], tuple[Order, Refund]] = {}
        self._counted: dict[str, int] = {}
        self._net: dict[str, int] = {}

    def restore(self, kept: Mapping[str, bytes]) -> list[Order]:
        """Take in what the journal kept."""
        decode = msgspec.json.Decoder(Order).decode
        orders = sorted((decode(raw) for raw in kept.values()), key=lambda order: order.created)
        for order in orders:
            self._index(order)
            if order.paid is not None:
                self._count_at_least(order.transaction_id[:18], order.transaction_id[18:])
                self.moved(order.mchid, order.total - order.fee)
            for refund in order.refunds:
                self._count_at_least(refund.refund_id[:18], refund.refund_id[18:])
                if refund.status != "CLOSED":
                    self.moved(order.mchid, refund.fee - refund.amount)
        return orders

    def add(self, order: Order) -> None:
        self._index(order)
        self.changed(order)

    def changed(self, order: Order) -> None:
        """An order changed: stamp it and note it."""
        order.changed = self._clock.now()
        self._journal.note("wechat.order", f"{order.mchid}/{order.number}", order)

    def renew(self, order: Order, code: str, prepay_id: str) -> None:
        """A fresh credential; the earlier one is worth nothing any more."""
        self._by_code.pop(order.code, None)
        self._by_prepay.pop(order.prepay_id, None)
        order.code, order.prepay_id, order.code_made = code, prepay_id, self._clock.now()
        self._by_code[code] = self._by_prepay[prepay_id] = order
        self.changed(order)

    def add_refund(self, order: Order, refund: Refund) -> None:
        order.refunds.append(refund)
        self.moved(order.mchid, refund.fee - refund.amount)
        self._refunds[order.mchid, refund.number] = (order, refund)
        self.changed(order)

    def paid(self, order: Order) -> None:
        """Index the transaction an order just got."""
        self._by_transaction[order.transaction_id] = order
        self.moved(order.mchid, order.total - order.fee)
        self.changed(order)

    def moved(self, mchid: str, fen: int) -> None:
        """Money came to the merchant's balance, or left it."""
        self._net[mchid] = self._net.get(mchid, 0) + fen

    def order(self, mchid: str, number: str) -> Order | None:
        """The merchant's order of that number, closed by itself when it is 7 days old."""
        order = self._orders.get((mchid, number))
        if order is not None and order.state == "NOTPAY":
            self._grow_old(order)
        return order

    def find(self, key: str) -> Order | None:
        """An order by number, code, code_url, h5_url, prepay_id or transaction id."""
        for mark in ("pr=", "prepay_id=", "/cashier/"):
            if mark in key:
                key = key.partition(mark)[2].partition("&")[0]
        order = (
            self._by_number.get(key)
            or self._by_code.get(key)
            or self._by_prepay.get(key)
            or self._by_transaction.get(key)
        )
        return self.order(order.mchid, order.number) if order is not None else None

    def transaction(self, mchid: str, transaction_id: str) -> Order | None:
        order = self._by_transaction.get(transaction_id)
        return order if order is not None and order.mchid == mchid else None

    def refund(self, mchid: str, number: str) -> tuple[Order, Refund] | None:
        return self._refunds.get((mchid, number))

    def orders(self, mchid: str | None = None) -> Iterator[Order]:
        """All orders, oldest first."""
        for order in self._orders.values():
            if mchid is None or order.mchid == mchid:
                if order.state == "NOTPAY":
                    self._grow_old(order)
                yield order

    def net(self, mchid: str) -> int:
        """What the merchant's balance gained, fen: payments less fees, less what went back."""
        return self._net.get(mchid, 0)

    def rows(self, number: str | None = None, since: float | None = None) -> Iterable[Row]:
        """The books as everyone sees them: one number, or all that changed at ``since`` or later."""
        if number is not None:
            found = self.find(number)
            if found is None:
                refunds = [pair[0] for key, pair in self._refunds.items() if key[1] == number]
                return [row(order) for order in refunds]
            return [row(found)]
        return [row(o) for o in self.orders() if since is None or o.changed >= since]

    def next_transaction(self, mchid: str) -> str:
        """28 digits: 4200, six of the merchant, the day, a number of the day."""
        return self._next(f"4200{mchid[-6:]:0>6}{self._day()}", 10)

    def next_refund(self, mchid: str) -> str:
        """29 digits: 503, seven of the merchant, the day, a number of the day."""
        return self._next(f"503{mchid[2:9]:0>7}{self._day()}", 11)

    def _next(self, stem: str, digits: int) -> str:
        count = self._counted.get(stem, 0) + 1
        self._counted[stem] = count
        return f"{stem}{count:0{digits}d}"

    def _count_at_least(self, stem: str, count: str) -> None:
        if count.isdecimal():
            self._counted[stem] = max(self._counted.get(stem, 0), int(count))

    def _day(self) -> str:
        return beijing(self._clock.now()).strftime("%Y%m%d")

    def _grow_old(self, order: Order) -> None:
        """WeChat Pay closes what is unpaid after seven days."""
        if self._clock.now() >= order.created + AUTO_CLOSE_S:
            order.state = "CLOSED"
            order.closed = order.created + AUTO_CLOSE_S
            self.changed(order)

    def _index(self, order: Order) -> None:
        self._orders[order.mchid, order.number] = order
        self._by_number[order.number] = order
        self._by_code[order.code] = order
        self._by_prepay[order.prepay_id] = order
        if order.transaction_id:
            self._by_transaction[order.transaction_id] = order
        for refund in order.refunds:
            self._refunds[order.mchid, refund.number] = (order, refund)


def row(order: Order) -> Row:
    """One order for the books."""
    return Row(
        channel="wechat",
        number=order.number,
        merchant=order.mchid,
        method=order.product,
        state=order.state,
        amount=order.total,
        paid=order.total if order.paid is not None else 0,
        refunded=sum(r.amount for r in order.refunds if r.status == "SUCCESS"),
        currency="CNY",
        created=rfc3339(order.created),
        expires=rfc3339(order.expires),
        paid_at=None if order.paid is None else rfc3339(order.paid),
        closed_at=None if order.closed is None else rfc3339(order.closed),
        transaction_id=order.transaction_id or None,
        attach=order.attach,
        refunds=[
            RefundRow(
                number=refund.number,
                refund_id=refund.refund_id,
                amount=refund.amount,
                status=refund.status,
                created=rfc3339(refund.created),
                done=None if refund.done is None else rfc3339(refund.done),
            )
            for refund in order.refunds
        ],
    )


def expiry(created: float, asked: float | None, days_max: int) -> float:
    """When an order can be paid last: at least a minute, at most ``days_max`` days from creation."""
    latest = created + days_max * 86400
    if asked is None:
        return min(created + AUTO_CLOSE_S, latest)
    return min(max(asked, created + 60), latest)


def prepay_id(now: float, random_hex: str) -> str:
    """36 characters: ``wx``, ddHHmmss, 24 hex digits, ``00``."""
    return f"wx{beijing(now):%d%H%M%S}{random_hex}00"
