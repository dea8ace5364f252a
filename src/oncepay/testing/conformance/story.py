"""The payment that a channel is exercised with, and the question whether the core takes what is said of it."""

from __future__ import annotations

from typing import Final

import msgspec

from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Road, Status
from oncepay.domain.capabilities import MIN, Capabilities
from oncepay.domain.change import Evidence, Hear
from oncepay.domain.decide import decide
from oncepay.domain.ids import in_number, out_number, payment_id
from oncepay.domain.payment import Payment, PaymentStatus, Refund
from oncepay.ports import Account, Draft
from oncepay.store import rows
from oncepay.testing.conformance.kit import About

APP, ORDER_NO, REFUND_NO = "shop", "A-1001", "A-1001-1"
PAYMENT_ID: Final = payment_id("an installation", APP, ORDER_NO)
MINOR: Final = 8_800
BACK_MINOR: Final = 880
AGE_MS: Final = 1 * MIN  # how long ago the attempt was started
TRADE_NO: Final = "4200001234202701150000000001"
OUT_CALLS: Final = frozenset({Call.REFUND, Call.QUERY_REFUND})
PAYING_CALLS: Final = frozenset({Call.PREPAY, Call.REFUND})

# What the table of learning makes of a fact, for an attempt that was called once.
BECOMES: Final = {
    Fact.ABSENT: Status.UNKNOWN,
    Fact.SILENT: Status.UNKNOWN,
    Fact.PENDING: Status.SENT,
    Fact.OVER: Status.OVER,
    Fact.MOVED: Status.SUCCEEDED,
}


class Story:
    """One payment at one account: an attempt in, and one that gives part of it back."""

    def __init__(self, account: Account, capabilities: Capabilities, now_ms: int) -> None:
        self.account = account
        self.capabilities = capabilities
        self.now_ms = now_ms
        self.currency = min(capabilities.currencies, default="CNY")

    def attempt(self, method: str, *, index: int = 0, shown: bool = True) -> Attempt:
        """An attempt in that was called once and not answered. ``shown``: the payer has its credential."""
        created_ms = self.now_ms - AGE_MS
        known = self.capabilities.methods.get(method)
        called = known is None or known.made_by_call
        return Attempt(
            no=in_number(PAYMENT_ID, index),
            channel=self.account.channel,
            account=self.account.id,
            method=method,
            minor=MINOR,
            currency=self.currency,
            created_ms=created_ms,
            expires_ms=created_ms
            + min(max(self.capabilities.expiry_min_ms, 15 * MIN), self.capabilities.expiry_max_ms),
            status=Status.UNKNOWN,
            calls=int(called),
            shown_ms=created_ms if shown else 0,
        )

    def paid(self, method: str) -> Attempt:
        """The attempt in, once it was paid."""
        moved_ms = self.now_ms - AGE_MS // 2
        return msgspec.structs.replace(
            self.attempt(method), status=Status.SUCCEEDED, trade_no=TRADE_NO, moved_ms=moved_ms, settled_ms=moved_ms
        )

    def refund(self, of: Attempt) -> Attempt:
        """An attempt out that was called once and not answered."""
        return Attempt(
            no=out_number(PAYMENT_ID, REFUND_NO, 0),
            direction=Direction.OUT,
            channel=of.channel,
            account=of.account,
            minor=BACK_MINOR,
            currency=of.currency,
            created_ms=self.now_ms - AGE_MS // 4,
            refund_no=REFUND_NO,
            of=of.no,
            status=Status.UNKNOWN,
            calls=1,
        )

    def about(self, call: Call | None, fact: Fact, method: str, *, out: bool | None = None) -> About:
        """What a message about this payment is to say. What is over by a query has had the time that it was given,
        and the margin for clocks that are not the vendor's."""
        out = call in OUT_CALLS if out is None else out
        if out:
            paying = self.paid(method)
            return About(call=call, fact=fact, attempt=self.refund(paying), account=self.account, paying=paying)
        attempt = self.attempt(method, shown=call is not Call.PREPAY)
        if fact is Fact.OVER and call is Call.QUERY:
            life_ms = attempt.expires_ms - attempt.created_ms
            past_ms = self.capabilities.absent_margin_ms + MIN
            attempt = msgspec.structs.replace(
                attempt, created_ms=self.now_ms - life_ms - past_ms, expires_ms=self.now_ms - past_ms
            )
        return About(call=call, fact=fact, attempt=attempt, account=self.account)

    def draft(self, about: About, **fields: object) -> Draft:
        """What the first body of an attempt is made of."""
        draft = Draft(
            attempt=about.attempt,
            subject="Green tea",
            app=APP,
            order_no=ORDER_NO,
            notify_url=f"https://pay.example/notify/{self.account.channel}/{self.account.id}",
            return_url=f"https://pay.example/return/pay_{PAYMENT_ID}",
            paying=about.paying,
            note="too much tea" if about.paying else "",
        )
        return msgspec.structs.replace(draft, **fields)

    def payment(self, about: About) -> Payment:
        """The payment as it stands before anything is heard."""
        paying = about.paying
        attempts = (paying, about.attempt) if paying else (about.attempt,)
        refund = Refund(refund_no=REFUND_NO, minor=BACK_MINOR, of=about.attempt.of, created_ms=self.now_ms)
        return Payment(
            id=PAYMENT_ID,
            app=APP,
            order_no=ORDER_NO,
            minor=MINOR,
            currency=self.currency,
            subject="Green tea",
            created_ms=self.now_ms - AGE_MS,
            deadline_ms=self.now_ms + 24 * 60 * MIN,
            status=PaymentStatus.PAID if paying else PaymentStatus.OPEN,
            paid_by=paying.no if paying else "",
            paid_ms=paying.moved_ms if paying else 0,
            attempts=attempts,
            refunds=(refund,) if paying else (),
        )

    def after(self, about: About, evidence: tuple[Evidence, ...]) -> Status:
        """What the core makes of the attempt when it hears this. Core and store are the real ones; raises Invalid for
        what no database can hold."""
        payment = self.payment(about)
        heard = Hear(evidence=evidence, channel=self.account.channel, account=self.account.id)
        change = decide(payment, heard, {self.account.channel: self.capabilities}, self.now_ms)
        if change is not None:
            rows.check(change)
            payment = change.payment
        attempt = payment.attempt(about.attempt.no)
        assert attempt is not None
        return attempt.status


def road_of(call: Call | None) -> Road:
    """By which road the answer to a call reaches us."""
    if call is None:
        return Road.NOTIFICATION
    return Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY
