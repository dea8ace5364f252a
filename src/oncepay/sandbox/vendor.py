"""What a vendor in the sandbox is: one folder with these parts. A fourth one is one more folder and one more line.

The sandbox (``main``) holds the vendors by name and hands each its ground to stand on; the server asks the one whose
path it is; the controls, the books and the front page ask them all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from starlette.routing import Route

from oncepay.sandbox.clock import Clock, Dice
from oncepay.sandbox.faults import ChannelFaults
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.notices import Notice
from oncepay.sandbox.pages import Pages
from oncepay.sandbox.post import Post
from oncepay.sandbox.server import Reply, Request
from oncepay.sandbox.switches import Switches


class Refused(Exception):
    """A control request that makes no sense, or cannot be done now. ``status`` is that of its HTTP answer."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class RefundRow(msgspec.Struct):
    """A refund as the sandbox's books show it to everyone."""

    number: str
    refund_id: str
    amount: int
    status: str
    created: str
    done: str | None


class Row(msgspec.Struct):
    """An order as the sandbox's books show it: amounts in fen, times RFC 3339, ``state`` in the vendor's words."""

    channel: str
    number: str
    merchant: str
    method: str
    state: str
    amount: int
    paid: int
    refunded: int
    currency: str
    created: str
    expires: str
    paid_at: str | None
    closed_at: str | None
    transaction_id: str | None
    attach: str | None
    refunds: list[RefundRow]


class Line(msgspec.Struct):
    """An order on the front page. ``link``: its cashier page; ``shade``: paid, refunded, closed or nothing."""

    link: str
    number: str
    subject: str
    channel: str
    method: str
    state: str
    shade: str
    amount: int
    refunded: int
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the sandbox gives a vendor to work with.

    dice: the vendor's own, so that no vendor's numbers depend on another's.
    keys_changed: to be called when ``keys.json`` and ``sandbox.json`` must be written again.
    post: makes what carries its notifications.
    """

    clock: Clock
    dice: Dice
    faults: ChannelFaults
    switches: Switches
    journal: Journal
    keys_changed: Callable[[], None]
    post: Callable[[], Post]


def autopay(clock: Clock, dice: Dice, switches: Switches, pay: Callable[[], None]) -> None:
    """Let what was just made be paid by itself, if switches and dice say so; ``pay`` minds whether it still may be."""
    if switches.autopay_s is None:
        return
    if switches.autopay_rate < 1 and dice.random() >= switches.autopay_rate:
        return
    clock.at(clock.now() + switches.autopay_s, pay)


class Vendor(Protocol):
    """One simulated vendor.

    name: the word for it everywhere: books, ``sandbox.json``, controls.
    prefixes: what paths of its API begin with; they take the fast road.
    pay_keys: by which members ``/sandbox/pay`` may name one of its orders.
    """

    name: str
    prefixes: tuple[bytes, ...]
    pay_keys: tuple[str, ...]

    def open(self, base_url: str, kept: Mapping[str, Mapping[str, bytes]]) -> None:
        """Serve from now on under ``base_url``; ``kept`` is the journal's: kind -> key -> JSON."""
        ...

    async def settle(self) -> None:
        """Wait for the deliveries that are under way now."""
        ...

    async def close(self) -> None:
        """End the deliveries that are under way."""
        ...

    def keys(self) -> msgspec.Struct:
        """What ``keys.json`` keeps of it."""
        ...

    def block(self) -> dict[str, Any]:
        """Its part of ``sandbox.json``: all an integration needs."""
        ...

    def reply(self, request: Request) -> Reply:
        """Answer one request of its API."""
        ...

    def rows(self, number: str | None, since: float | None) -> Iterable[Row]:
        """Its books: of one order or refund number, or all that changed at ``since`` (epoch seconds) or later."""
        ...

    def pay(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """The payer pays the order named by one of ``pay_keys``; None when no such order is here.

        ``payer`` may say who pays. Raises Refused when that order cannot be paid now.
        """
        ...

    def refund(self, number: str, fen: int) -> dict[str, Any] | None:
        """The merchant refunds so much in the vendor's own console; None when no such order is here."""
        ...

    def send_elsewhere(self, number: str) -> dict[str, Any] | None:
        """A person sends the refund of this number to another card, in the vendor's own console; None when no such
        refund is here. Raises Refused when it does not wait for that. Not every vendor has refunds that do."""
        ...

    def notices(self) -> Iterable[Notice]:
        """What was told lately, oldest first."""
        ...

    async def notify(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Deliver a payment notification now: ``number``, ``amount``, ``forged``; None when no such order is here."""
        ...

    def renew(self) -> dict[str, Any]:
        """A new certificate of the vendor signs from now on; what of ``block`` changed."""
        ...

    def add_merchant(self, merchant: str | None) -> dict[str, Any]:
        """One more merchant, of this identity or a drawn one; its block."""
        ...

    def lines(self) -> Iterable[Line]:
        """Its orders for the front page, oldest first."""
        ...

    def routes(self, pages: Pages) -> list[Route]:
        """What its payers see."""
        ...
