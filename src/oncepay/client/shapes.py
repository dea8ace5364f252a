"""What the centre answers, as types. Amounts are integers in minor units (``8800`` with ``CNY`` is 88.00); times are
milliseconds since 1970, UTC, and end in ``_ms``; None where there is none.

Members that a newer centre adds are ignored. A new word where the words are listed is not: to take a status for
something that it is not would be worse than an error. ``tests/client/test_shapes.py`` holds these types to the
centre's own OpenAPI document, member by member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct, field

T = TypeVar("T")

PaymentStatus = Literal["open", "paid", "closed"]
AttemptStatus = Literal["created", "unknown", "sent", "over", "succeeded"]
RefundStatus = Literal["open", "done", "failed"]
Origin = Literal["app", "surplus", "outside"]


# -- a payment ---------------------------------------------------------------------------------------------------


class PaidBy(Struct, frozen=True, kw_only=True):
    """The attempt that paid. ``trade_no``: the channel's own number. ``paid_ms``: by the channel's time."""

    attempt: str
    channel: str
    method: str
    trade_no: str
    minor: int
    paid_ms: int


class ClosedBy(Struct, frozen=True, kw_only=True):
    """When a payment was given up, and why: the app asked, or its deadline passed."""

    closed_ms: int
    why: Literal["asked", "expired"]


class RefundSeen(Struct, frozen=True, kw_only=True):
    """A refund as a payment shows it.

    ``status``: ``open`` on its way, its amount reserved; ``done`` it went back; ``failed`` it will not (``why`` is the
    channel's word). ``origin``: ``app`` you asked; ``surplus`` money that was not owed; ``outside`` not by the centre.
    """

    refund_no: str
    minor: int
    status: RefundStatus
    origin: Origin
    why: str
    created_ms: int
    settled_ms: int | None


class Payment(Struct, frozen=True, kw_only=True):
    """The snapshot of a payment, with every milestone so far: what events carry.

    ``version`` goes up by one with every change that can be seen here: of two snapshots the one with the higher version
    is the newer. ``closing``: it is being closed, an attempt may still take money. ``minor``: what is owed.
    ``kept_minor``: what was paid, less what went or is going back.
    """

    id: str
    order_no: str
    version: int
    status: PaymentStatus
    closing: bool
    minor: int
    currency: str
    subject: str
    created_ms: int
    deadline_ms: int
    kept_minor: int
    paid: PaidBy | None
    closed: ClosedBy | None
    refunds: tuple[RefundSeen, ...]


class AttemptSeen(Struct, frozen=True, kw_only=True):
    """One instruction to one channel to take money, and how much is known of it.

    ``status``: ``created`` not sent yet; ``unknown`` sent, not answered (not failed: do not tell the payer so);
    ``sent`` the payer can pay; ``over`` no money will come by it, for ``reason``; ``succeeded`` the money moved.
    ``words``: the channel's own word for its last refusal. ``shown_ms``: when its credential was first handed out.
    ``superseded``: another attempt takes its place. ``settled_ms``: when it became ``over`` or ``succeeded``.
    """

    id: str
    channel: str
    method: str
    account: str
    status: AttemptStatus
    reason: Literal["closed", "refused", "expired"] | None
    words: str
    minor: int
    currency: str
    created_ms: int
    expires_ms: int
    shown_ms: int | None
    superseded: bool
    settled_ms: int | None
    trade_no: str | None


class AttemptAsked(AttemptSeen, frozen=True, kw_only=True):
    """The attempt that was asked for.

    ``credential``: what the payer needs; its members depend on the method (``code_url`` to show as QR code, ``url`` to
    go to, parameters of an app ...). None while the channel has not answered: ask again, by the same call.
    ``credential_until_ms``: when it stops working; the same call again brings a new one. ``risk``: said when an earlier
    attempt may still take money, which would then go back by itself.
    """

    credential: dict[str, Any] | None
    credential_until_ms: int | None
    risk: str | None


class PaymentSeen(Payment, frozen=True, kw_only=True):
    """A payment with its attempts."""

    attempts: tuple[AttemptSeen, ...]


class PaymentStarted(PaymentSeen, frozen=True, kw_only=True):
    """A payment with the attempt that was asked for, if one was.

    ``replayed``: the same had been asked before, and nothing new was done.
    """

    attempt: AttemptAsked | None
    replayed: bool = False

    @property
    def in_doubt(self) -> bool:
        """The channel has not answered yet, so there is nothing to show to the payer. Nothing is lost and nothing has
        failed: make the same call again in a second or two."""
        asked = self.attempt
        return asked is not None and asked.credential is None and asked.status not in {"over", "succeeded"}


# -- money back --------------------------------------------------------------------------------------------------


class RefundTry(Struct, frozen=True, kw_only=True):
    """One try at the channel to carry out a refund."""

    id: str
    status: AttemptStatus
    words: str
    created_ms: int
    settled_ms: int | None


class Refund(RefundSeen, frozen=True, kw_only=True):
    """A refund by itself. ``replayed``: the same had been asked before, and nothing new was done."""

    id: str
    payment: str
    order_no: str
    currency: str
    note: str
    tries: tuple[RefundTry, ...]
    replayed: bool = False


# -- being told --------------------------------------------------------------------------------------------------

CHANGED: Final = "payment.changed"


class Event(Struct, frozen=True, kw_only=True):
    """One new version of a payment.

    ``id``: the same however often and by whichever road it comes. ``version``: the payment's. ``changes``: what
    happened since the version before (``paid``, ``closed``, ``refund.done``, ``surplus.refunded`` ...), for people:
    act on the difference between ``payment`` and what you knew, and no order of arrival can mislead you.
    """

    id: str
    type: Literal["payment.changed"]
    created_ms: int
    version: int
    changes: tuple[str, ...]
    payment: Payment = field(name="data")


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where events are sent. ``disabled``: why nothing is sent to it."""

    id: str
    url: str
    disabled: str | None
    created_ms: int


class EndpointSecret(Endpoint, frozen=True, kw_only=True):
    """An endpoint with the secret that signs what it gets, ``whsec_...``: shown this once."""

    secret: str

    def __repr__(self) -> str:
        return f"EndpointSecret(id={self.id!r}, url={self.url!r}, secret=...)"


class Delivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint. ``status``: ``parked`` when all its tries are used up, or the endpoint is
    disabled. ``last``: how the last try ended."""

    id: str
    event: str
    payment: str
    version: int
    endpoint: str
    status: Literal["due", "done", "parked"]
    tries: int
    due_ms: int | None
    last: str


# -- its story ---------------------------------------------------------------------------------------------------


class StepAhead(Struct, frozen=True, kw_only=True):
    """Something that the centre will do, when, and why."""

    what: str
    at_ms: int
    in_s: float
    attempt: str | None
    why: str
    paused_until_ms: int | None


class Explained(Struct, frozen=True, kw_only=True):
    """Why a payment is as it is, and what comes next."""

    status: PaymentStatus
    why: tuple[str, ...]
    next: tuple[StepAhead, ...]


class Timeline(Struct, frozen=True, kw_only=True):
    """The whole story of a payment, oldest first. Each entry has ``at_ms`` and ``what``; more depends on ``what``."""

    payment: str
    timeline: tuple[dict[str, Any], ...]
    explain: Explained


# -- cases -------------------------------------------------------------------------------------------------------


class AtRisk(Struct, frozen=True, kw_only=True):
    """The money that a case is about."""

    minor: int
    currency: str


class Case(Struct, frozen=True, kw_only=True):
    """What a person must look at. ``due_ms``: when something happens by itself. ``by_itself``: what happens if nobody
    does anything. ``next``: the next step for what it is about. ``seen``: how often it came up. ``note``: what was
    done."""

    id: str
    kind: str
    status: Literal["open", "resolved"]
    text: str
    payment: str | None
    opened_ms: int
    age_ms: int
    due_ms: int | None
    by_itself: str
    next: StepAhead | None
    at_risk: AtRisk | None
    seen: int
    note: str
    data: dict[str, Any]


class EvidenceSeen(Struct, frozen=True, kw_only=True):
    """What a channel said. ``words``: its own word. ``channel_ms``: by its time. ``wrong``: why it was not taken in,
    though it was believed. ``digest``: of the bytes of the message."""

    at_ms: int
    number: str
    account: str
    road: Literal["reply", "notification", "query", "statement"]
    fact: Literal["absent", "silent", "pending", "over", "moved"]
    words: str
    minor: int | None
    currency: str | None
    trade_no: str
    channel_ms: int | None
    wrong: str
    digest: str


class ActSeen(Struct, frozen=True, kw_only=True):
    """What somebody did with a case. ``actor``: ``app:``, the app's id and whoever acted for it; else an operator.
    ``evidence``: what the person went by. ``did``: what came of it."""

    at_ms: int
    verb: Literal["query", "close", "cancel", "accept", "refund", "settle", "retry", "note", "resolve"]
    actor: str
    reason: str
    evidence: str
    attempt: str | None
    did: str


class CaseSeen(Case, frozen=True, kw_only=True):
    """A case with what channels said of what it is about, and what was done with it, oldest first. ``replayed``: this
    was done before, and nothing was done now."""

    evidence: tuple[EvidenceSeen, ...]
    acts: tuple[ActSeen, ...]
    replayed: bool = False


# -- pages -------------------------------------------------------------------------------------------------------


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a list. ``next``: the cursor of the next page, None at the end."""

    data: tuple[T, ...]
    next: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.data)

    @property
    def more(self) -> str | None:
        """Where the next page begins, None when there is none."""
        return self.next


class EventPage(Struct, frozen=True, kw_only=True):
    """Events, oldest first. ``next``: where to go on, now or later, for the feed has no end: store it together with
    what you took in."""

    data: tuple[Event, ...]
    next: str

    def __iter__(self) -> Iterator[Event]:
        return iter(self.data)

    @property
    def more(self) -> str | None:
        """Where the next page begins, None when there is no news at present."""
        return self.next if self.data else None


class Whole(Struct, Generic[T], frozen=True, kw_only=True):
    """A list that comes whole."""

    data: tuple[T, ...]


class Replayed(Struct, frozen=True, kw_only=True):
    """How many deliveries are due again."""

    replayed: int


# -- what is asked -----------------------------------------------------------------------------------------------


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a payment is to be paid: the channel and the method, and what the method must know.

    ``account``: may be left out where the channel has just one. ``payer``: ``openid``, ``client_ip`` ...
    ``options``: the channel's own. ``expires_ms``: the last moment to pay by this attempt, at most the deadline.
    """

    channel: str
    method: str
    account: str = ""
    payer: dict[str, str] = {}
    options: dict[str, Any] = {}
    expires_ms: int | msgspec.UnsetType = msgspec.UNSET
