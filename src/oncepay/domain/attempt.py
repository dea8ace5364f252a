"""What an attempt is, and how it learns: the table that the whole centre stands on.

Statuses are ordered by how much we know. Taking a fact in is *the larger of the two*, so order, repetition and
road do not matter. Everything hinges on what may be *called* a fact: that is decided in ``hear.py``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec


class Status(StrEnum):
    """How much we know of an attempt, in rising order."""

    CREATED = "created"
    UNKNOWN = "unknown"
    SENT = "sent"
    OVER = "over"
    SUCCEEDED = "succeeded"


class Fact(StrEnum):
    """What a channel's message says of one number."""

    ABSENT = "absent"  # no such number
    SILENT = "silent"  # timeout, 5xx, unreadable, unsigned
    PENDING = "pending"
    OVER = "over"
    MOVED = "moved"


class Road(StrEnum):
    """How a message reached us."""

    REPLY = "reply"
    NOTIFICATION = "notification"
    QUERY = "query"
    STATEMENT = "statement"


class Call(StrEnum):
    """The calls that a channel answers."""

    PREPAY = "prepay"
    QUERY = "query"
    CLOSE = "close"
    CANCEL = "cancel"  # closes what is unpaid and sends back what is paid: only ever asked for by a person
    REFUND = "refund"
    QUERY_REFUND = "query_refund"


class Direction(StrEnum):
    """Where the money goes. Room for ``none``: pre-authorisation."""

    IN = "in"
    OUT = "out"


class Reason(StrEnum):
    """Why an attempt is over."""

    NONE = ""
    CLOSED = "closed"
    REFUSED = "refused"
    EXPIRED = "expired"


CREATED, UNKNOWN, SENT, OVER, SUCCEEDED = Status

RANK: Final = tuple(Status)
TRANSITIONS: Final = {
    status: dict(zip(Fact, row, strict=True))
    for status, row in {
        #           absent     silent     pending    over       moved
        CREATED:   (CREATED,   UNKNOWN,   SENT,      OVER,      SUCCEEDED),
        UNKNOWN:   (UNKNOWN,   UNKNOWN,   SENT,      OVER,      SUCCEEDED),
        SENT:      (SENT,      SENT,      SENT,      OVER,      SUCCEEDED),
        OVER:      (OVER,      OVER,      OVER,      OVER,      SUCCEEDED),
        SUCCEEDED: (SUCCEEDED, SUCCEEDED, SUCCEEDED, SUCCEEDED, SUCCEEDED),
    }.items()
}  # fmt: skip
CONTRADICTIONS: Final = frozenset({(SUCCEEDED, Fact.OVER)})


class Learned(NamedTuple):
    """``news``: the status rose. ``contradiction``: the channel takes back what it said; a person must look."""

    status: Status
    news: bool
    contradiction: bool


def learn(status: Status, fact: Fact) -> Learned:
    """Join what we know with what we are told. Pure, total, and blind to order and repetition."""
    after = TRANSITIONS[status][fact]
    return Learned(after, news=after is not status, contradiction=(status, fact) in CONTRADICTIONS)


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One instruction to one channel to move money. All times in milliseconds since 1970, UTC; 0 is "never".

    It carries all that ``plan`` needs to know: which calls were made, how long the last may take, what was heard.
    """

    no: str  # its number at the channel
    direction: Direction = Direction.IN
    channel: str
    account: str
    method: str = ""  # native, page, form ...; out: of the attempt that it reverses
    minor: int
    currency: str
    created_ms: int
    expires_ms: int = 0  # in: the last moment to pay, as the channel was told
    same: str = ""  # in: fingerprint of (channel, method, account, payer parameters)
    refund_no: str = ""  # out: the refund it carries out
    of: str = ""  # out: the number of the attempt that it reverses
    status: Status = Status.CREATED
    reason: Reason = Reason.NONE
    calls: int = 0  # prepay or refund calls whose intent is committed; a second host is a second call
    asked_ms: int = 0  # when the last call of any kind was intended
    asked: Call | None = None  # and which it was
    until_ms: int = 0  # the deadline of the call in flight; 0 when it was answered
    fact: Fact | None = None  # what the last answer said
    fault: str = ""  # why the last call was turned away: account, balance, moment
    words: str = ""  # the vendor's own code for the last refusal
    absent_ms: int = 0  # first "absent" that counts towards being over
    refused_ms: int = 0  # out: since when it is called no more: refused when repeated, or another was carried out
    shown_ms: int = 0  # when a credential was handed out
    credential: str = ""  # JSON, up to 512 bytes; longer ones are stored apart
    credential_apart: bool = False
    credential_until_ms: int = 0
    superseded_ms: int = 0  # since when another attempt takes its place
    settled_ms: int = 0  # when it became over or succeeded
    trade_no: str = ""  # the channel's own number
    moved_ms: int = 0  # when the money moved, by the channel's time; of money out, by then at the latest
    asked_minor: int = 0  # what was asked for, where a person says that another amount moved: then that is ``minor``
    returned_minor: int = 0  # in: the most that the channel ever said went back of it
    returned_ms: int = 0  # and when it first said so, by the channel's time; 0: that is not known
    raised: bool = False  # its case "unsettled" is open; plan raises it once

    @property
    def settled(self) -> bool:
        """Nothing more is expected of it; late money may still come."""
        return self.status in {Status.OVER, Status.SUCCEEDED}

    @property
    def incoming(self) -> bool:
        """Money in, as against a refund."""
        return self.direction is Direction.IN
