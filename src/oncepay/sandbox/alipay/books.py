"""Alipay's own books: what was offered to payers, every trade, every refund, found by any of their numbers.

An offer is a signed request that was opened, or a QR code; a trade comes of it only when its buyer is known. Kept in
memory; each change is noted in the journal. A day's numbering of trades goes on over a restart.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from oncepay.sandbox.clock import Clock, beijing, rfc3339
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.vendor import RefundRow, Row

CODE_URL: Final = "https://qr.alipay.com/"
WAITING, PAID, FINISHED, CLOSED = "WAIT_BUYER_PAY", "TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED"

Method = Literal["page", "wap", "app", "precreate"]


class Refund(msgspec.Struct):
    """One refund. ``status``: SUCCESS (money moved), PENDING (it moves at ``due``), NEVER."""

    number: str  # out_request_no, or the trade_no when none was sent
    amount: int
    created: float
    status: str = "SUCCESS"
    due: float = 0.0
    done: float | None = None
    fee: int = 0  # the part of our fee that goes back, fen


class Offer(msgspec.Struct, kw_only=True):
    """A request to be paid that a payer may follow. Times in epoch seconds."""

    code: str  # in the cashier's address, and in the QR code
    method: Method
    app_id: str
    seller_id: str
    seller_email: str
    number: str
    total: int
    subject: str
    body: str
    passback: str
    notify_url: str
    return_url: str
    charset: str
    sign: str  # of the request: opened again, it is the same offer
    created: float
    expires: float
    code_until: float
    left: bool = False  # the payer went away
    dead: bool = False  # a close struck before the scan (switch close_kills_code)


class Trade(msgspec.Struct, kw_only=True):
    """One trade. ``state`` is the word of Alipay's trade_status; times in epoch seconds."""

    offer: Offer  # the one it came of
    trade_no: str
    buyer_id: str
    buyer_logon: str
    created: float
    state: str = WAITING
    paid: float | None = None
    closed: float | None = None
    fee: int = 0
    hidden_queries: int = 0  # how many more queries show it unpaid although it is paid
    changed: float = 0.0
    refunds: list[Refund] = []

    @property
    def refunded(self) -> int:
        """What went back, fen."""
        return sum(refund.amount for refund in self.refunds if refund.status == "SUCCESS")

    @property
    def refundable(self) -> int:
        """What could still go back, fen."""
        return self.offer.total - sum(refund.amount for refund in self.refunds if refund.status != "NEVER")

    def refund(self, number: str) -> Refund | None:
        return next((refund for refund in self.refunds if refund.number == number), None)


class Books:
    """All offers, trades and refunds, by every number they have."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._trades: dict[tuple[str, str], Trade] = {}
        self._by_trade_no: dict[str, Trade] = {}
        self._sellers: dict[str, str] = {}  # number -> the last seller that used it
        self._offers: dict[str, Offer] = {}
        self._by_sign: dict[str, Offer] = {}
        self._latest: dict[tuple[str, str], Offer] = {}
        self._by_refund: dict[str, Trade] = {}
        self._counted: dict[str, int] = {}
        self._net: dict[str, int] = {}

    def restore(self, kept: Mapping[str, Mapping[str, bytes]]) -> list[Trade]:
        """Take in what the journal kept; the trades."""
        for raw in kept.get("alipay.offer", {}).values():
            self._index_offer(msgspec.json.decode(raw, type=Offer))
        decode = msgspec.json.Decoder(Trade).decode
        trades = sorted((decode(raw) for raw in kept.get("alipay.trade", {}).values()), key=lambda t: t.created)
        for trade in trades:
            self._index(trade)
            day, count = trade.trade_no[:8], int(trade.trade_no[-8:])
            self._counted[day] = max(self._counted.get(day, 0), count)
            if trade.paid is not None:
                self.moved(trade, trade.offer.total - trade.fee)
            for refund in trade.refunds:
                self._by_refund[refund.number] = trade
                if refund.status == "SUCCESS":
                    self.moved(trade, refund.fee - refund.amount)
        return trades

    # --- offers -------------------------------------------------------------------------------

    def offered(self, offer: Offer) -> None:
        """A new offer, or one that changed."""
        self._index_offer(offer)
        self._journal.note("alipay.offer", offer.code, offer)

    def by_sign(self, sign: str) -> Offer | None:
        """The offer of a signed request that was opened before."""
        return self._by_sign.get(sign)

    def latest(self, seller_id: str, number: str) -> Offer | None:
        """The last offer of a number."""
        return self._latest.get((seller_id, number))

    def offer(self, key: str) -> Offer | None:
        """An offer by code, code_url, number or trade_no; of a number, the last one."""
        key = key.removeprefix(CODE_URL)
        if key in self._offers:
            return self._offers[key]
        if key in self._by_trade_no:
            return self._by_trade_no[key].offer
        seller = self._sellers.get(key)
        return None if seller is None else self._latest.get((seller, key))

    def offers(self) -> Iterator[Offer]:
        """All offers, oldest first."""
        yield from self._offers.values()

    # --- trades -------------------------------------------------------------------------------

    def add(self, trade: Trade) -> None:
        self._index(trade)
        self.changed(trade)

    def changed(self, trade: Trade) -> None:
        """A trade changed: stamp it and note it."""
        trade.changed = self._clock.now()
        self._journal.note("alipay.trade", trade.trade_no, trade)

    def trade(self, seller_id: str, number: str) -> Trade | None:
        return self._trades.get((seller_id, number))

    def of(self, offer: Offer) -> Trade | None:
        """The trade that an offer leads to, whichever offer of its number began it."""
        return self._trades.get((offer.seller_id, offer.number))

    def by_trade_no(self, seller_id: str, trade_no: str) -> Trade | None:
        trade = self._by_trade_no.get(trade_no)
        return trade if trade is not None and trade.offer.seller_id == seller_id else None

    def add_refund(self, trade: Trade, refund: Refund) -> None:
        trade.refunds.append(refund)
        self._by_refund[refund.number] = trade
        self.changed(trade)

    def moved(self, trade: Trade, fen: int) -> None:
        """Money came to the seller's balance, or left it."""
        seller = trade.offer.seller_id
        self._net[seller] = self._net.get(seller, 0) + fen

    def net(self, seller_id: str) -> int:
        """What the seller's balance gained, fen: payments less fees, less what went back."""
        return self._net.get(seller_id, 0)

    def rows(self, number: str | None, since: float | None) -> Iterable[Row]:
        """The books as everyone sees them: one number, or all that changed at ``since`` or later."""
        if number is not None:
            offer = self.offer(number)
            trade = self._by_refund.get(number) if offer is None else self.of(offer)
            return [] if trade is None else [row(trade)]
        return [row(trade) for trade in self._trades.values() if since is None or trade.changed >= since]

    def next_trade_no(self) -> str:
        """28 digits: the day, twelve fixed ones, a number of the day."""
        day = f"{beijing(self._clock.now()):%Y%m%d}"
        self._counted[day] = self._counted.get(day, 0) + 1
        return f"{day}220014810714{self._counted[day]:08d}"

    def _index(self, trade: Trade) -> None:
        self._trades[trade.offer.seller_id, trade.offer.number] = trade
        self._by_trade_no[trade.trade_no] = trade
        self._sellers[trade.offer.number] = trade.offer.seller_id

    def _index_offer(self, offer: Offer) -> None:
        self._offers[offer.code] = offer
        self._latest[offer.seller_id, offer.number] = offer
        self._sellers[offer.number] = offer.seller_id
        if offer.sign:
            self._by_sign[offer.sign] = offer


def row(trade: Trade) -> Row:
    """One trade for the books."""
    offer = trade.offer
    return Row(
        channel="alipay",
        number=offer.number,
        merchant=offer.seller_id,
        method=offer.method,
        state=trade.state,
        amount=offer.total,
        paid=offer.total if trade.paid is not None else 0,
        refunded=trade.refunded,
        currency="CNY",
        created=rfc3339(trade.created),
        expires=rfc3339(offer.expires),
        paid_at=None if trade.paid is None else rfc3339(trade.paid),
        closed_at=None if trade.closed is None else rfc3339(trade.closed),
        transaction_id=trade.trade_no,
        attach=offer.passback or None,
        refunds=[
            RefundRow(
                number=refund.number,
                refund_id=f"{trade.trade_no}/{refund.number}",
                amount=refund.amount,
                status=refund.status,
                created=rfc3339(refund.created),
                done=None if refund.done is None else rfc3339(refund.done),
            )
            for refund in trade.refunds
        ],
    )
