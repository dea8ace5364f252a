"""What WeChat Pay's bodies look like: only the members that we read. Its times are Beijing's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec

from oncepay.channels.texts import BEIJING
from oncepay.domain.money import MINOR_MAX
from oncepay.domain.once import check_once

Minor = Annotated[int, msgspec.Meta(ge=0, le=MINOR_MAX)]
Number = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_|*@-]{1,64}\Z")]
Currency = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Z]{3}\Z")]


class Prepaid(msgspec.Struct, frozen=True):
    """The answer to a prepay; which member is there depends on the method."""

    code_url: str = ""
    h5_url: str = ""
    prepay_id: str = ""


class Amount(msgspec.Struct, frozen=True):
    """Of a payment. Without a currency before it is paid."""

    total: Minor
    currency: Currency | None = None


class Trade(msgspec.Struct, frozen=True):
    """A payment, as the query and the notification tell it. ``amount``: missing in some answers about closed ones."""

    mchid: str
    appid: str
    out_trade_no: Number
    trade_state: str
    transaction_id: Number | None = None
    attach: str | None = None
    success_time: str | None = None
    amount: Amount | None = None


class RefundAmount(msgspec.Struct, frozen=True):
    """Of a refund. Notifications carry no currency."""

    refund: Minor
    currency: Currency | None = None


class Refunded(msgspec.Struct, frozen=True):
    """A refund, as the refund call and its query tell it."""

    out_refund_no: Number
    out_trade_no: Number
    refund_id: Number
    status: str
    amount: RefundAmount
    success_time: str | None = None


class RefundNotified(msgspec.Struct, frozen=True):
    """A refund, as the notification tells it: ``refund_status`` instead of ``status``, and with the merchant."""

    mchid: str
    out_refund_no: Number
    out_trade_no: Number
    refund_id: Number
    refund_status: str
    amount: RefundAmount
    success_time: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """Of a 4xx or 5xx."""

    code: str = ""
    message: str = ""


class Sealed(msgspec.Struct, frozen=True):
    """What only we and the vendor can read."""

    algorithm: str
    ciphertext: str
    nonce: str
    associated_data: str | None = None
    original_type: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """A notification before it is opened."""

    id: str
    event_type: str
    resource: Sealed


class Certificate(msgspec.Struct, frozen=True):
    """One of the vendor's certificates, sealed."""

    serial_no: str
    encrypt_certificate: Sealed


class Certificates(msgspec.Struct, frozen=True):
    """All that are valid now."""

    data: list[Certificate]


PREPAID: Final = msgspec.json.Decoder(Prepaid)
TRADE: Final = msgspec.json.Decoder(Trade)
REFUNDED: Final = msgspec.json.Decoder(Refunded)
PROBLEM: Final = msgspec.json.Decoder(Problem)
CERTIFICATES: Final = msgspec.json.Decoder(Certificates)

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Raises ValueError, also for what is nested too deep."""
    try:
        return decoder.decode(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def strict(body: bytes, type_: type[T]) -> T:
    """JSON in which no object names a member twice: two readers must not see two different messages.
    Raises ValueError."""
    try:
        found = msgspec.json.decode(body)
        check_once(body, found)
        return msgspec.convert(found, type_)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def time_text(at_ms: int) -> str:
    """RFC 3339, Beijing, whole seconds rounded down.

    >>> time_text(1_800_000_000_999)
    '2027-01-15T16:00:00+08:00'
    """
    return datetime.fromtimestamp(at_ms // 1000, BEIJING).isoformat()
