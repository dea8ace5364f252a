"""What answers look like, to the field: the shapes behind ``/openapi.json``. They are declared here, made as plain
dicts in ``views.py``, and a test holds the two together.

Amounts in minor units, times in milliseconds since 1970, UTC; null where there is none.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, UnsetType

from oncepay.domain.attempt import Fact, Road, Status
from oncepay.domain.change import Verb as Do
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus

PaymentId = Annotated[str, Meta(pattern="^pay_[0-9A-Z]{26}$")]
AttemptId = Annotated[str, Meta(pattern="^att_[0-9A-Z]{27,32}$")]
Millis = int | None


class PaidBy(Struct, kw_only=True):
    """The attempt that paid."""

    attempt: AttemptId
    channel: str
    method: str
    trade_no: Annotated[str, Meta(description="The channel's own number.")]
    minor: int
    paid_ms: Annotated[int, Meta(description="By the channel's time.")]


class ClosedBy(Struct, kw_only=True):
    """When and why."""

    closed_ms: int
    why: Literal["asked", "expired"]


class RefundSeen(Struct, kw_only=True):
    """A refund as the snapshot holds it."""

    refund_no: str
    minor: int
    status: Annotated[
        RefundStatus,
        Meta(description="`open` on its way, its amount reserved; `done` it went back; `failed` it will not."),
    ]
    origin: Annotated[
        Origin, Meta(description="`app` you asked; `surplus` money that was not owed; `outside` not by us.")
    ]
    why: Annotated[str, Meta(description="Of a failure: the channel's word.")]
    created_ms: int
    settled_ms: Millis


class Snapshot(Struct, kw_only=True):
    """A payment with every milestone so far. Of two snapshots the one with the higher version is the newer."""

    id: PaymentId
    order_no: str
    version: Annotated[int, Meta(description="Up by one with every change that can be seen here.")]
    status: Annotated[PaymentStatus, Meta(description="Whether it is owed, paid or given up.")]
    closing: Annotated[bool, Meta(description="It is being closed; an attempt may still take money.")]
    minor: int
    currency: str
    subject: str
    created_ms: int
    deadline_ms: int
    kept_minor: Annotated[int, Meta(description="What was paid, less what went or is going back.")]
    paid: PaidBy | None
    closed: ClosedBy | None
    refunds: list[RefundSeen]


class AttemptSeen(Struct, kw_only=True):
    """One instruction to one channel to take money."""

    id: AttemptId
    channel: str
    method: str
    account: str
    status: Annotated[
        Status,
        Meta(
            description="`created` not sent yet; `unknown` sent, not answered; `sent` the payer can pay; `over` no "
            "money will come by it; `succeeded` the money moved."
        ),
    ]
    reason: Annotated[Literal["closed", "refused", "expired"] | None, Meta(description="Why it is `over`.")]
    words: Annotated[str, Meta(description="The channel's own word for its last refusal.")]
    minor: int
    currency: str
    created_ms: int
    expires_ms: int
    shown_ms: Annotated[Millis, Meta(description="When its credential was first handed out.")]
    superseded: Annotated[bool, Meta(description="Another attempt takes its place.")]
    settled_ms: Annotated[Millis, Meta(description="When it became `over` or `succeeded`.")]
    trade_no: Annotated[str | None, Meta(description="The channel's own number.")]


class AttemptAsked(AttemptSeen, kw_only=True):
    """The attempt that was asked for."""

    credential: Annotated[
        dict[str, Any] | None,
        Meta(description="What the payer needs; its members depend on the method. Null while not known."),
    ]
    credential_until_ms: Annotated[Millis, Meta(description="When it stops working; ask again for a new one.")]
    risk: Annotated[str | None, Meta(description="Said when an earlier attempt may still take money.")]


class PaymentSeen(Snapshot, kw_only=True):
    """A payment with its attempts."""

    attempts: list[AttemptSeen]


class PaymentStarted(PaymentSeen, kw_only=True):
    """A payment with the attempt that was asked for."""

    attempt: AttemptAsked | None


class OutSeen(Struct, kw_only=True):
    """One try at the channel to carry out a refund."""

    id: AttemptId
    status: Status
    words: str
    created_ms: int
    settled_ms: Millis


class RefundView(RefundSeen, kw_only=True):
    """A refund by itself."""

    id: Annotated[str, Meta(pattern="^ref_[0-9A-Z]{32}$")]
    payment: PaymentId
    order_no: str
    currency: str
    note: str
    tries: list[OutSeen]


class Event(Struct, kw_only=True):
    """One new version of a payment."""

    id: Annotated[str, Meta(pattern="^evt_[0-9A-Z]{26}_[0-9]+$", description="The same on every delivery.")]
    type: Literal["payment.changed"]
    created_ms: int
    version: int
    changes: Annotated[list[str], Meta(description="paid, closed, closing, reopened, amended, refund.done ...")]
    data: Snapshot


class EndpointView(Struct, kw_only=True):
    """Where events are sent."""

    id: str
    url: Annotated[str, Meta(description="Without the user and password that a broker's was made with.")]
    disabled: Annotated[str | None, Meta(description="Why nothing is sent to it.")]
    created_ms: int


class EndpointSecret(EndpointView, kw_only=True):
    """An endpoint with the secret that signs what it gets."""

    secret: Annotated[str, Meta(description="whsec_..., shown this once.")]


class DeliveryView(Struct, kw_only=True):
    """One event on its way to one endpoint."""

    id: Annotated[str, Meta(pattern="^dlv_")]
    event: str
    payment: PaymentId
    version: int
    endpoint: str
    status: Literal["due", "done", "parked"]
    tries: int
    due_ms: Millis
    last: Annotated[str, Meta(description="How the last try ended.")]


class Replayed(Struct, kw_only=True):
    """How many deliveries are due again."""

    replayed: int


class StoryEntry(Struct, kw_only=True):
    """Something that happened. Further members depend on ``what``."""

    at_ms: int
    what: str
    fact: Fact | UnsetType = msgspec.UNSET
    road: Road | UnsetType = msgspec.UNSET


class StepAhead(Struct, kw_only=True):
    """Something that will be done."""

    what: str
    at_ms: int
    in_s: float
    attempt: str | None
    why: str
    paused_until_ms: Millis


class Explained(Struct, kw_only=True):
    """Why it is as it is, and what comes next."""

    status: PaymentStatus
    why: list[str]
    next: list[StepAhead]


class AtRisk(Struct, kw_only=True):
    """The money that a case is about."""

    minor: int
    currency: str


class CaseView(Struct, kw_only=True):
    """What a person must look at."""

    id: Annotated[str, Meta(pattern="^case_[0-9A-Z]{26}$")]
    kind: str
    status: Literal["open", "resolved"]
    text: str
    payment: PaymentId | None
    opened_ms: int
    age_ms: int
    due_ms: Annotated[Millis, Meta(description="When something happens by itself.")]
    by_itself: Annotated[str, Meta(description="What happens if nobody does anything.")]
    next: Annotated[StepAhead | None, Meta(description="The next step for what it is about.")]
    at_risk: AtRisk | None
    seen: Annotated[int, Meta(description="How often it came up.")]
    note: Annotated[str, Meta(description="What was done.")]
    data: dict[str, Any]


class EvidenceSeen(Struct, kw_only=True):
    """What a channel said."""

    at_ms: int
    number: str
    account: str
    road: Road
    fact: Fact
    words: Annotated[str, Meta(description="The channel's own word.")]
    minor: int | None
    currency: str | None
    trade_no: str
    channel_ms: Millis
    wrong: Annotated[str, Meta(description="Why it was not taken in, though it was believed.")]
    digest: Annotated[str, Meta(description="Of the bytes of the message.")]


class ActSeen(Struct, kw_only=True):
    """What somebody did with a case."""

    at_ms: int
    verb: Do
    actor: Annotated[str, Meta(description="`app:` and the app's id, and whoever acted for it; else an operator.")]
    reason: str
    evidence: Annotated[str, Meta(description="What the person went by.")]
    attempt: str | None
    did: Annotated[str, Meta(description="What came of it.")]


class CaseSeen(CaseView, kw_only=True):
    """A case with what channels said of what it is about, and what was done with it, oldest first."""

    evidence: list[EvidenceSeen]
    acts: list[ActSeen]


class Timeline(Struct, kw_only=True):
    """The whole story of a payment, oldest first."""

    payment: PaymentId
    timeline: list[StoryEntry]
    explain: Explained


class Health(Struct, kw_only=True):
    """All is well, or the answer is a problem."""

    status: Literal["ok"]


class Listed(Struct, kw_only=True):
    """A page."""

    next: Annotated[str | None, Meta(description="`after` of the next page; null at the end.")]


class PaymentList(Listed, kw_only=True):
    """Payments, newest first."""

    data: list[PaymentSeen]


class EventList(Struct, kw_only=True):
    """Events, oldest first."""

    data: list[Event]
    next: Annotated[str, Meta(description="`after` to go on from, now or later: the feed has no end.")]


class PaymentEvents(Struct, kw_only=True):
    """All events of one payment, oldest first."""

    data: list[Event]


class RefundList(Struct, kw_only=True):
    """All refunds of one payment, oldest first."""

    data: list[RefundView]


class EndpointList(Struct, kw_only=True):
    """All endpoints of the app."""

    data: list[EndpointView]


class DeliveryList(Listed, kw_only=True):
    """Deliveries."""

    data: list[DeliveryView]


class CaseList(Listed, kw_only=True):
    """Cases, oldest first."""

    data: list[CaseView]
