"""What Alipay's bodies look like: the envelope of an answer, only the members that we read, amounts in yuan.

The signed text of an answer is a piece of the raw body: the value of the member that is named after the method. It is
cut out as it came, never made again: slashes, blanks and escapes are the gateway's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final, TypeVar

import msgspec

from oncepay.channels.texts import BEIJING
from oncepay.domain.money import MINOR_MAX
from oncepay.domain.once import check_once

NO: Final = re.compile(r"[0-9A-Za-z_|*@.:-]{1,64}", re.ASCII)
ERROR: Final = "error_response"

_YUAN: Final = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,2}))?", re.ASCII)


# The vendor's own number: 28 digits today. It is stored and looked for, so it holds nothing strange.
TRADE_NO: Final = re.compile(r"[0-9A-Za-z]{0,64}", re.ASCII)
TradeNo = Annotated[str, msgspec.Meta(pattern=rf"^{TRADE_NO.pattern}\Z")]


class Envelope(msgspec.Struct, frozen=True):
    """An answer, taken apart and not yet believed. ``serial``: of the certificate that it says it is signed with."""

    text: bytes
    sign: str
    serial: str


class Said(msgspec.Struct, frozen=True):
    """What every answer has."""

    code: str
    msg: str = ""
    sub_code: str = ""
    sub_msg: str = ""
    out_trade_no: str = ""


class Trade(msgspec.Struct, frozen=True):
    """A payment, as the query tells it (``send_pay_date``) and the notification (the ``gmt_`` times, ``refund_fee``:
    all that went back so far)."""

    out_trade_no: str = ""
    trade_no: TradeNo = ""
    trade_status: str = ""
    total_amount: str = ""
    send_pay_date: str = ""
    gmt_payment: str = ""
    gmt_refund: str = ""
    refund_fee: str = ""


class Precreated(msgspec.Struct, frozen=True):
    """The answer to a precreate."""

    out_trade_no: str
    qr_code: str


class Closed(msgspec.Struct, frozen=True):
    """The answer to a close, and to a cancel: ``action`` is close, refund, or nothing where no trade was found."""

    out_trade_no: str = ""
    trade_no: TradeNo = ""
    action: str = ""
    retry_flag: str = ""


class Refunded(msgspec.Struct, frozen=True):
    """The answer to a refund. ``refund_fee``: all that went back of the trade so far, this one included; so far is
    ``gmt_refund_pay``, when it went."""

    out_trade_no: str
    trade_no: TradeNo = ""
    fund_change: str = ""
    refund_fee: str = ""
    gmt_refund_pay: str = ""


class RefundQueried(msgspec.Struct, frozen=True):
    """A refund, as its query tells it. Without a status it was not made, not yet or not at all."""

    out_trade_no: str = ""
    out_request_no: str = ""
    trade_no: TradeNo = ""
    refund_status: str = ""
    refund_amount: str = ""
    gmt_refund_pay: str = ""


class Downloaded(msgspec.Struct, frozen=True):
    """One of the vendor's certificates: PEM in base64."""

    alipay_cert_content: str


T = TypeVar("T")


def root_of(method: str) -> str:
    """The member that holds the answer to a method."""
    return method.replace(".", "_") + "_response"


def take_apart(body: bytes, root: str) -> Envelope:
    """Find the signed text, the signature and the serial among the members of an answer, by name. Raises ValueError for
    what is no answer to this method, and where a member stands twice."""
    members = decode(body, dict[str, msgspec.Raw])
    try:
        check_once(body, decode(body, object))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    name = root if root in members else ERROR
    text = bytes(members[name]) if name in members else b""
    if text[:1] != b"{":  # a string would be an encrypted answer, which we never ask for
        raise ValueError(f"it holds no {root}")
    return Envelope(text, _word(members, "sign"), _word(members, "alipay_cert_sn"))


def _word(members: Mapping[str, msgspec.Raw], name: str) -> str:
    """A member beside the signed text; what is missing or no text is nothing."""
    value = decode(bytes(members[name]), object) if name in members else ""
    return value if isinstance(value, str) else ""


def decode(raw: bytes, type_: type[T]) -> T:
    """Raises ValueError, also for what is nested too deep."""
    try:
        return msgspec.json.decode(raw, type=type_)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def minor_of(yuan: str) -> int:
    """Fen. Raises ValueError for what is no amount.

    >>> minor_of("88.88"), minor_of("0.5"), minor_of("100000000")
    (8888, 50, 10000000000)
    """
    found = _YUAN.fullmatch(yuan)
    if found is None:
        raise ValueError(f"{yuan[:32]!r} is no amount in yuan")
    minor = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if minor > MINOR_MAX:
        raise ValueError(f"{yuan!r} is too much")
    return minor


def time_text(at_ms: int) -> str:
    """Beijing's time, whole seconds rounded down.

    >>> time_text(1_800_000_000_999)
    '2027-01-15 16:00:00'
    """
    return _time_text(at_ms // 1000)


@lru_cache(maxsize=256)  # a loaded process writes the same second a thousand times
def _time_text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, BEIJING).strftime("%Y-%m-%d %H:%M:%S")
