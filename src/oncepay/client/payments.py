"""Payments: what is owed once for one order."""

from __future__ import annotations

from typing import Final, Literal

from oncepay.client.calls import Call, all_of, encoded, given, json_of, path_of, query_of
from oncepay.client.shapes import Attempt, Event, Page, PaymentSeen, PaymentStarted, PaymentStatus, Timeline, Whole

WAIT_S: Final = 25  # the longest that a centre waits with an answer


def create(
    *,
    order_no: str,
    minor: int,
    currency: str,
    subject: str,
    deadline_ms: int | None = None,
    return_url: str | None = None,
    attempt: Attempt | None = None,
) -> Call[PaymentStarted]:
    """Create the payment of an order, and start its first attempt when one is given.

    ``order_no``: your own number of the order, 1 to 64 of ``A-Z a-z 0-9 _ -``; the same again is the same payment, and
    brings a credential that works. ``minor``: what is owed, in minor units of ``currency`` (ISO 4217). ``subject``:
    what the payer reads. ``deadline_ms``: the last moment to pay, two hours from now when left out. ``return_url``:
    where the payer goes after paying.

    When ``in_doubt`` is true of the answer, the channel has not answered yet: make the same call again in a second or
    two. Raises KeyReused (the same order_no with another amount), ChannelRefused (the payment is there and open: try
    another way), Conflict (``payment_paid``, ``payment_closed`` ...), Invalid, and what every call raises.
    """
    return Call(
        method="POST",
        path="/v1/payments",
        body=json_of(
            order_no=order_no,
            amount={"minor": minor, "currency": currency},
            subject=subject,
            deadline_ms=deadline_ms,
            return_url=return_url,
            attempt=attempt,
        ),
        shape=PaymentStarted,
        about=(("order_no", order_no), ("minor", minor), ("currency", currency)),
        money=True,
        again="the order_no makes it the same payment",
    )


def start_attempt(payment: str, attempt: Attempt) -> Call[PaymentStarted]:
    """Start an attempt, or get the live one that is the same (channel, method, account, payer), with a credential that
    works. Anything else is a switch: the earlier attempt is closed at its channel first.

    ``payment``: ``pay_...``. Raises Conflict (``payment_paid``: it was paid meanwhile, which is good news;
    ``attempt_live``, ``payment_closed`` ...), ChannelRefused, Invalid, Absent.
    """
    return Call(
        method="POST",
        path=path_of("/v1/payments/{payment}/attempts", payment=payment),
        body=encoded(attempt),
        shape=PaymentStarted,
        about=(("id", payment),),
        money=True,
        again="the same attempt is started once",
    )


def get(payment: str) -> Call[PaymentSeen]:
    """Read a payment as the centre knows it. ``payment``: ``pay_...``. Raises Absent."""
    return _read(payment)


def fresh(payment: str) -> Call[PaymentSeen]:
    """Read a payment after asking its channels, which is done at most every two seconds a payment. Raises Absent."""
    return _read(payment, fresh="true")


def wait(payment: str, *, version: int | None = None, wait_s: int = WAIT_S) -> Call[PaymentSeen]:
    """Read a payment as soon as its version is above ``version`` (the present one when left out), or as it is after
    ``wait_s`` seconds, 0 to 25. Raises Absent."""
    return _read(payment, wait_s=wait_s, wait=wait_s, version=version)


def _read(payment: str, wait_s: int = 0, **query: str | int | None) -> Call[PaymentSeen]:
    return Call(
        method="GET",
        path=path_of("/v1/payments/{payment}", payment=payment),
        query=query_of(**query),
        shape=PaymentSeen,
        about=(("id", payment),),
        wait_s=wait_s,
    )


def listed(
    *,
    status: PaymentStatus | None = None,
    order_no: str | None = None,
    trade_no: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    after: str = "",
    limit: int = 20,
) -> Call[Page[PaymentSeen]]:
    """Payments, newest first: those that are ``status`` now, of this ``order_no``, paid under this ``trade_no`` (the
    channel's own number), created at or after ``since_ms`` and before ``until_ms``. ``after``: ``next`` of the page
    before. ``limit``: 1 to 100 a page."""
    return Call(
        method="GET",
        path="/v1/payments",
        query=query_of(
            status=status,
            order_no=order_no,
            trade_no=trade_no,
            since_ms=since_ms,
            until_ms=until_ms,
            after=after,
            limit=limit,
        ),
        shape=Page[PaymentSeen],
    )


def of_order(order_no: str) -> Call[PaymentSeen | None]:
    """The payment of your order of that number, None when there is none."""
    return Call(
        method="GET",
        path="/v1/payments",
        query=query_of(order_no=given("order_no", order_no)),
        shape=Page[PaymentSeen],
        then=_first,
    )


def of_trade(trade_no: str) -> Call[PaymentSeen | None]:
    """The payment that was paid under the channel's own number, from a statement or a payer's receipt; None when none
    was."""
    return Call(
        method="GET",
        path="/v1/payments",
        query=query_of(trade_no=given("trade_no", trade_no)),
        shape=Page[PaymentSeen],
        then=_first,
    )


def _first(page: Page[PaymentSeen]) -> PaymentSeen | None:
    return page.data[0] if page.data else None


def close(payment: str, *, if_paid: Literal["keep", "refund"] = "keep") -> Call[PaymentSeen]:
    """Give a payment up: no new attempt or credential from now on, live attempts are closed at their channels.

    ``closing`` in the answer says that an attempt may still take money; ``if_paid`` is what becomes of that: it pays
    the payment, or goes back. An event tells how it ended. Raises Conflict (``payment_paid``), Absent.
    """
    return _change(payment, "close", "closing what is closed changes nothing", if_paid=if_paid)


def reopen(payment: str, *, deadline_ms: int) -> Call[PaymentSeen]:
    """Make an unpaid closed payment owed again, until ``deadline_ms``; its id stays. Raises Conflict (``payment_paid``,
    ``payment_open``), Invalid, Absent."""
    again = "reopening until the same deadline again changes nothing"
    return _change(payment, "reopen", again, deadline_ms=deadline_ms)


def amend(payment: str, *, minor: int | None = None, deadline_ms: int | None = None) -> Call[PaymentSeen]:
    """Change the amount (``minor``, minor units) or the deadline (``deadline_ms``) while no attempt may take the old
    amount; what is left out stays. Raises Conflict (``attempt_live``, ``payment_paid``, ``payment_closed`` ...),
    Invalid, Absent."""
    again = "the same amount and deadline again change nothing"
    return _change(payment, "amend", again, minor=minor, deadline_ms=deadline_ms)


def _change(payment: str, verb: str, again: str, **members: object) -> Call[PaymentSeen]:
    return Call(
        method="POST",
        path=path_of("/v1/payments/{payment}/{verb}", payment=payment, verb=verb),
        body=json_of(**members),
        shape=PaymentSeen,
        about=(("id", payment),),
        money=True,
        again=again,
    )


def timeline(payment: str) -> Call[Timeline]:
    """Everything that happened, with the evidence for it; why the payment is where it is; what comes next and when.
    Raises Absent."""
    return Call(
        method="GET",
        path=path_of("/v1/payments/{payment}/timeline", payment=payment),
        shape=Timeline,
        about=(("payment", payment),),
    )


def events(payment: str) -> Call[tuple[Event, ...]]:
    """All events of a payment, oldest first. Raises Absent."""
    return Call(
        method="GET",
        path=path_of("/v1/payments/{payment}/events", payment=payment),
        shape=Whole[Event],
        then=all_of,
    )
