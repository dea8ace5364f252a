"""What requests carry, to the field: bodies and query strings. Amounts in minor units, times in milliseconds since
1970, UTC. Everything unknown is refused; nothing is coerced."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from oncepay.domain.money import MINOR_MAX
from oncepay.domain.payment import IfPaid, PaymentStatus

# A trailing newline must not pass where "$" would let it: hence the (?!\n).
Number = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", max_length=64)]
Minor = Annotated[int, Meta(ge=1, le=MINOR_MAX, description="Minor units: 8800 is 88.00 CNY.")]
Millis = Annotated[int, Meta(ge=0, le=MINOR_MAX)]
Text = Annotated[str, Meta(max_length=2000)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Url = Annotated[
    str,
    Meta(
        # after a port nothing but a path: http://localhost:1@elsewhere/ is elsewhere
        pattern=r"^(https://[!-~]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?([/?#][!-~]*)?)$(?!\n)",
        max_length=512,
        description="https, or http on this machine only.",
    ),
]

SUBJECT_MAX: Final = 127
PAGE_MAX: Final = 100
WAIT_MAX_S: Final = 25


class Strict(Struct, kw_only=True, forbid_unknown_fields=True):
    """What all of them are."""


# -- bodies ------------------------------------------------------------------------------------------------------


class Amount(Strict):
    """What is owed."""

    minor: Minor
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217, as CNY.")]


class NewAttempt(Strict):
    """How it is to be paid. The same again is the same attempt; anything else is a switch: the earlier attempt is
    closed at its channel first."""

    channel: Annotated[Word, Meta(description="Of those that this centre has.")]
    method: Annotated[Word, Meta(description="Of the channel: native, jsapi, h5, app ...")]
    account: Annotated[str, Meta(max_length=64, description="May be left out where the channel has just one.")] = ""
    payer: Annotated[
        dict[str, Annotated[str, Meta(max_length=256)]],
        Meta(max_length=16, description="What the method must know of the payer: openid, client_ip ..."),
    ] = {}
    options: Annotated[dict[str, Any], Meta(description="The channel's own options.")] = {}
    expires_ms: Annotated[
        Millis | UnsetType, Meta(description="The last moment to pay by this attempt; at most the payment's deadline.")
    ] = UNSET


class NewPayment(Strict):
    """A payment for an order. ``order_no`` is its natural key: the same again is the same payment."""

    order_no: Annotated[Number, Meta(description="Your own number of the order.")]
    amount: Amount
    subject: Annotated[str, Meta(min_length=1, max_length=SUBJECT_MAX, description="What the payer reads.")]
    deadline_ms: Annotated[
        Millis | UnsetType, Meta(description="The last moment to pay; two hours from now when left out.")
    ] = UNSET
    return_url: Annotated[Url | UnsetType, Meta(description="Where the payer goes after paying.")] = UNSET
    attempt: Annotated[NewAttempt | UnsetType, Meta(description="The first attempt, when it is known already.")] = UNSET


class ClosePayment(Strict):
    """``if_paid``: what becomes of money that still comes: it pays the payment, or goes back."""

    if_paid: IfPaid = "keep"


class ReopenPayment(Strict):
    """The new last moment to pay."""

    deadline_ms: Millis


class AmendPayment(Strict):
    """What is left out stays as it is."""

    minor: Minor | UnsetType = UNSET
    deadline_ms: Millis | UnsetType = UNSET


class NewRefund(Strict):
    """Money back. ``refund_no`` is its natural key, within the payment: the same again is the same refund."""

    refund_no: Annotated[Number, Meta(description="Your own number of the refund.")]
    minor: Minor
    note: Annotated[str, Meta(max_length=80, description="Why; the payer may read it.")] = ""


class NewEndpoint(Strict):
    """Where events are sent."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description="https, amqps (RabbitMQ), kafkas or rediss (a stream), on a public address; without TLS in the "
            "app's private networks only. A user and password in it are kept sealed and never shown.",
        ),
    ]


class ReplayDeliveries(Strict):
    """Which deliveries are to be made again; what is left out does not matter."""

    status: Annotated[Literal["parked", "done", "due"], Meta(description="Those that are ...")] = "parked"
    endpoint: Annotated[str, Meta(max_length=64)] = ""
    payment: Annotated[str, Meta(max_length=64, description="pay_...")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class HandleCase(Strict):
    """Why it is done, and who does it for the app. Both are kept for ever."""

    reason: Annotated[Text, Meta(min_length=1)]
    actor: Annotated[str, Meta(max_length=64, description="Whoever acts for the app.")] = ""


class CloseCase(HandleCase):
    """``cancel``: what was paid goes back, where the channel can do that."""

    cancel: Annotated[bool, Meta(description="Also send back what was paid. Only where the channel can do that.")] = (
        False
    )


class RefundCase(HandleCase):
    """``minor``: how much it was, where the case does not say."""

    minor: Annotated[Minor | UnsetType, Meta(description="How much it was, where the case does not say.")] = UNSET


class StateCase(RefundCase):
    """What shows what no channel has told us: at least one of ``evidence`` and ``trade_no``."""

    evidence: Annotated[Text, Meta(description="What shows it: a statement, a transfer, a page of the console.")] = ""
    trade_no: Annotated[
        str, Meta(pattern=r"^[!-~]{0,64}$(?!\n)", max_length=64, description="The channel's own number.")
    ] = ""


# -- query strings -----------------------------------------------------------------------------------------------

Cursor = Annotated[str, Meta(max_length=256, description="`next` of the page before; from the start when left out.")]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX, description="How many at most.")]


class Paged(Strict):
    """A page of a list."""

    after: Cursor = ""
    limit: Limit = 20


class ListPayments(Paged):
    """Which payments."""

    status: Annotated[PaymentStatus | UnsetType, Meta(description="Only those that are so now.")] = UNSET
    order_no: Annotated[Number | UnsetType, Meta(description="Only that of your own order.")] = UNSET
    since_ms: Annotated[Millis, Meta(description="Created at or after.")] = 0
    until_ms: Annotated[Millis | UnsetType, Meta(description="Created before.")] = UNSET
    trade_no: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | UnsetType,
        Meta(description="The channel's own number of the money: finds the payment that it paid."),
    ] = UNSET


class ReadPayment(Strict):
    """How to read a payment."""

    fresh: Annotated[bool, Meta(description="Ask the channels first, at most every two seconds a payment.")] = False
    wait: Annotated[int, Meta(ge=0, le=WAIT_MAX_S, description="Wait so many seconds for a new version.")] = 0
    version: Annotated[
        Millis | UnsetType, Meta(description="With `wait`: for one above this; above the present one when left out.")
    ] = UNSET


class ListEvents(Paged):
    """Where to go on in the feed."""

    wait: Annotated[int, Meta(ge=0, le=WAIT_MAX_S, description="Wait so many seconds for the next event.")] = 0


class ListDeliveries(Paged):
    """Which deliveries."""

    status: Literal["due", "done", "parked"] | UnsetType = UNSET
    payment: Annotated[Annotated[str, Meta(max_length=64)] | UnsetType, Meta(description="pay_...")] = UNSET


class ListCases(Paged):
    """Which cases."""

    status: Literal["open", "resolved", "all"] = "open"
    payment: Annotated[Annotated[str, Meta(max_length=64)] | UnsetType, Meta(description="pay_...")] = UNSET
