"""What goes into the core and what comes out of it: evidence, inputs, and changes as data for the store."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

from oncepay.domain.attempt import Call, Direction, Fact, Reason, Road
from oncepay.domain.payment import IfPaid, Payment


class Fault(StrEnum):
    """Why a call was turned away although nothing is wrong with the attempt."""

    NONE = ""
    ACCOUNT = "account"  # key, signature, right, product: a person must mend it
    BALANCE = "balance"  # no money to refund from
    MOMENT = "moment"  # too often, try later


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fact about one number, as a channel told it. What the channel's folder cannot read is SILENT."""

    number: str
    fact: Fact
    road: Road
    direction: Direction = Direction.IN
    call: Call | None = None  # the call it answers; None for a notification or a statement
    reason: Reason = Reason.NONE  # of OVER
    words: str = ""  # the vendor's own code, kept, never branched on
    fault: Fault = Fault.NONE
    attention: str = ""  # a case of this kind is to be raised beside the fact (refund_abnormal)
    minor: int | None = None  # of MOVED, and of a refund's PENDING when it is said
    currency: str | None = None
    wrong: str = ""  # which identity in a validly signed message is not the attempt's: then it is no fact but a case
    account: str = ""  # of ours, with whose keys it was verified; said of what was not taken in
    of: str = ""  # of an out number: the number of the attempt that it reverses
    trade_no: str = ""  # the channel's own number
    channel_ms: int = 0  # when it happened, by the channel's time
    said_ms: int = 0  # the signed time of the message itself
    channel_day: int = 0  # yyyymmdd of the channel's day
    refunded: bool = False  # the channel says some of it went back; if we know of no refund, a person must look
    # All that went back by ``said_ms``, where the channel says how much: of it, of MOVED in; of what an out number that
    # is part of it reverses.
    returned_minor: int | None = None


class Credential(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the payer gets. ``body``: JSON object; ``until_ms``: when it stops working."""

    body: str
    until_ms: int


# -- inputs of decide --------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The app wants an attempt. ``same``: fingerprint of (channel, method, account, payer parameters).
    ``force``: the last attempt could not be closed and the app's policy is to switch all the same."""

    channel: str
    method: str
    account: str
    same: str
    expires_ms: int = 0  # 0: the payment's deadline
    force: bool = False
    call_until_ms: int = 0  # when given, the intent of the first call is part of the same change


class Close(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The app gives the payment up; money that still comes is kept or goes back."""

    if_paid: IfPaid = "keep"


class Reopen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The app wants an unpaid closed payment back, with a new deadline."""

    deadline_ms: int


class Amend(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Another amount or deadline for an open payment without a live attempt; None leaves it."""

    minor: int | None = None
    deadline_ms: int | None = None


class AskRefund(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The app wants money back from what is kept."""

    refund_no: str
    minor: int
    note: str = ""


class Begin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The intent of a call, committed before it is made: it may take until ``until_ms``."""

    step: Step
    until_ms: int


class Hear(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Evidence to take in, all from one message that was verified with a key of ``account``.
    ``answers``: the number whose call in flight this answers; ``call_no``: which of its paying calls, from 1, 0 for
    another call. ``asked_ms``: when that call began; an answer without a time of its own may be as old."""

    evidence: tuple[Evidence, ...]
    channel: str
    account: str
    answers: str = ""
    call_no: int = 0
    asked_ms: int = 0
    credential: Credential | None = None


class Tick(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Time has passed: do what time alone does (expire, raise a case)."""


class Verb(StrEnum):
    """What a person may do with a case."""

    QUERY = "query"  # ask the channel now
    CLOSE = "close"  # close the attempt at the channel now
    CANCEL = "cancel"  # the same, and what was paid goes back
    ACCEPT = "accept"  # the money did arrive, and pays
    REFUND = "refund"  # the money did arrive, and goes back; a refund that failed is tried again
    SETTLE = "settle"  # it was settled outside, by other means
    RETRY = "retry"  # now, whatever the timetable says
    NOTE = "note"
    RESOLVE = "resolve"


class Said(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a message said that was believed and not taken in: the money of a case ``wrong_content``. ``minor`` and
    ``currency`` are None where it did not say them."""

    fact: Fact
    channel: str
    account: str  # of ours, with whose keys it was verified
    minor: int | None = None
    currency: str | None = None
    trade_no: str = ""
    channel_ms: int = 0
    wrong: str = ""  # why it was not taken in
    ours: bool = True  # False: it names another merchant, app or number than the account's: that money is not with us


class Handle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A person does something with a case. ``act``: who, and why; what came of it is written into it by ``decide``.
    ``number``, ``refund_no``: of the attempt or the refund that the case is about, where it says so."""

    act: Act
    number: str = ""
    refund_no: str = ""
    said: Said | None = None
    minor: int | None = None  # how much it was, as the person says
    trade_no: str = ""  # the channel's own number, as the person says
    margin_ms: int = 0  # past the deadline of the call that a verb makes, before another may be made in its stead


Input = Start | Close | Reopen | Amend | AskRefund | Begin | Hear | Tick | Handle


# -- outputs -----------------------------------------------------------------------------------------------------


class StepKind(StrEnum):
    """What to do next: one of the calls, or what time alone does."""

    PREPAY = "prepay"
    QUERY = "query"
    CLOSE = "close"
    CANCEL = "cancel"  # never planned: an operator's
    REFUND = "refund"
    QUERY_REFUND = "query_refund"
    TICK = "tick"


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to do and from when on. ``number``: of the attempt; for a refund's next try, the number it will have."""

    kind: StepKind
    at_ms: int
    number: str = ""
    refund_no: str = ""
    why: str = ""  # one clause for people: why this is next


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One app-visible version: the whole snapshot, and what changed."""

    version: int
    changes: tuple[str, ...]
    snapshot: dict[str, Any]
    at_ms: int


class CaseOpened(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a person must look at; one per (about, kind). ``about``: a payment's id, and behind colons the refund or
    number of it and what tells further ones apart; or an account, with the number that fits no payment.
    ``due_ms``: when something happens by itself, 0 if nothing does."""

    about: str
    kind: str
    text: str
    payment_id: str = ""
    account: str = ""
    due_ms: int = 0
    data: dict[str, Any] = {}


class Act(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a person did with a case: kept for ever, written with what it changed."""

    id: str  # drawn; of a note a hash of what it says, so that the same again is the same
    case_id: str
    verb: Verb
    actor: str  # "app:" and the app's id for whoever holds its key; else a name that the operator gave
    reason: str
    at_ms: int
    payment_id: str = ""  # of the payment that it touched, if any
    evidence: str = ""  # what the person goes by, where a verb states something that no channel told us
    number: str = ""  # of the attempt, in or out, that it was done to
    did: str = ""  # what came of it, one sentence
    resolves: bool = False  # the case is closed with it, ``reason`` its note


class Drafted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of the write-once directory of attempts: the first body sent for a number, repeated byte for byte."""

    no: str
    account: str
    direction: Direction
    refund_no: str
    body: bytes
    created_ms: int


class DeliveryDue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The event of this change on its way to one endpoint."""

    endpoint_id: str
    due_ms: int


class Raw(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The bytes behind the evidence of a change."""

    body: bytes
    month: int  # yyyymm


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Writes as data. ``rev``: the revision that was read (0: the payment is created by this change)."""

    rev: int
    payment: Payment
    at_ms: int
    due_ms: int | None = None  # of the payment's next step
    evidence: tuple[Evidence, ...] = ()
    event: Event | None = None
    cases: tuple[CaseOpened, ...] = ()
    acts: tuple[Act, ...] = ()
    credential: tuple[str, str] | None = None  # (number, body) of one that is stored apart
    # what the engine adds before it commits
    change_id: str = ""
    drafted: tuple[Drafted, ...] = ()
    deliveries: tuple[DeliveryDue, ...] = ()
    raw: Raw | None = None
    urgency: Literal["evidence", "command"] = "command"
