"""What we say to UnionPay: first bodies, made once for a number and repeated with the same content, and signed forms.

A first body is a JSON object of the unsigned fields. Certificate and signature are added when it is sent, so that a
repeat after a change of keys is still the same instruction. ``orderId`` and ``txnTime`` together name a transaction at
UnionPay, and the same ``orderId`` with another time may be another one: both come from the attempt, whose number and
first moment never change.
"""

from __future__ import annotations

import binascii
from datetime import date, timedelta
from typing import Final, NamedTuple

import msgspec

from oncepay.channels.unionpay import options as vendor
from oncepay.channels.unionpay.accounts import Opened
from oncepay.channels.unionpay.keys import ENCODING, SIGN_METHOD, SIGNATURE, VERSION, sign
from oncepay.channels.unionpay.wire import CODE_OF_CNY, form, read_time, time_text
from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import MIN
from oncepay.domain.errors import MethodUnknown
from oncepay.domain.ids import ID_LENGTH, out_number
from oncepay.ports import Draft, Request

FRONT: Final = "/gateway/api/frontTransReq.do"
APP: Final = "/gateway/api/appTransReq.do"
BACK: Final = "/gateway/api/backTransReq.do"
QUERY: Final = "/gateway/api/queryTrans.do"

REFUND: Final = "04"
VOID: Final = "31"

_HEADERS: Final = (
    ("Content-Type", f"application/x-www-form-urlencoded;charset={ENCODING}"),
    ("User-Agent", "oncepay"),
)
_VOID_MARGIN_MS: Final = 10 * MIN  # before the cut: the call must still arrive on the same settlement day


class Product(NamedTuple):
    """What UnionPay sells a method as."""

    sub_type: str  # txnSubType
    biz_type: str  # bizType
    channel_type: str  # channelType
    path: str
    query_path: str = QUERY


PRODUCTS: Final = {
    "front": Product("01", "000201", "07", FRONT),
    "app": Product("01", "000201", "08", APP),
    "qr": Product("07", "000000", "08", BACK, BACK),
}
_ANY: Final = PRODUCTS["front"]  # of an attempt whose method we do not know


def draft_order(draft: Draft, opened: Opened) -> bytes:
    """The first body of a payment. Raises Invalid for options that ``check_start`` would have refused."""
    attempt = draft.attempt
    product = PRODUCTS[attempt.method]
    device = draft.payer.get("device")
    fields = {
        **_head("01", product.sub_type, product.biz_type),
        "channelType": vendor.DEVICES[device] if device else product.channel_type,
        "accessType": "0",
        **_identity(attempt, opened),
        **_amount(attempt),
    }
    if attempt.method == "front":
        fields["frontUrl"] = draft.return_url
    fields |= {"backUrl": draft.notify_url, "payTimeout": time_text(attempt.expires_ms)}
    fields |= vendor.fields(draft.options)
    fields["reqReserved"] = echo(draft)
    return msgspec.json.encode(fields)


def draft_refund(draft: Draft, opened: Opened) -> bytes:
    """The first body of a refund, or of a void. ``draft.paying``: the attempt that it reverses. Raises ValueError when
    UnionPay's number of that one is not known: without it nothing can be given back."""
    attempt, paying = draft.attempt, draft.paying
    if paying is None or not paying.trade_no:
        raise ValueError(f"{attempt.no} reverses nothing that has a queryId")
    product = PRODUCTS.get(paying.method, _ANY)
    fields = {
        **_head(VOID if _may_void(attempt, paying, opened) else REFUND, "00", product.biz_type),
        "accessType": "0",
        "channelType": "08" if paying.method == "qr" else "07",
        **_identity(attempt, opened),
        **_amount(attempt),
        "origQryId": paying.trade_no,
        "backUrl": draft.notify_url,
        "reqReserved": echo(draft),
    }
    return msgspec.json.encode(fields)


def _may_void(attempt: Attempt, paying: Attempt, opened: Opened) -> bool:
    """A whole payment on its settlement day, where the account wants it; and only as a refund's first try, so that one
    that UnionPay does not take is followed by a refund. It stands in the first body, so a number is one or the other
    for ever."""
    return (
        opened.void_same_day
        and attempt.minor == paying.minor
        and attempt.no == out_number(attempt.no[:ID_LENGTH], attempt.refund_no, 0)
        and settlement_day(attempt.created_ms + _VOID_MARGIN_MS) == settlement_day(paying.moved_ms)
    )


def settlement_day(at_ms: int) -> date | None:
    """UnionPay's day, which begins at 23:00 in Beijing.

    >>> settlement_day(1_800_000_000_000 + 7 * 3_600_000 - 1), settlement_day(1_800_000_000_000 + 7 * 3_600_000)
    (datetime.date(2027, 1, 15), datetime.date(2027, 1, 16))
    """
    time = read_time(time_text(at_ms))
    return (time + timedelta(hours=1)).date() if time else None


def echo(draft: Draft) -> str:
    """App, order number, and of a refund the number that it reverses: UnionPay sends it back as it is. In base64, since
    the signs that border fields must not stand in it."""
    parts = [draft.app, draft.order_no] + ([draft.attempt.of] if draft.attempt.of else [])
    return binascii.b2a_base64(":".join(parts).encode(), newline=False).decode()


def build(call: Call, attempt: Attempt, opened: Opened, *, body: bytes, host: int) -> Request:
    """The signed request of a call. Raises MethodUnknown for what UnionPay has no call for."""
    product = PRODUCTS.get(attempt.method, _ANY)
    if call is Call.PREPAY and attempt.method in {"app", "qr"}:
        return _posted(product.path, read_body(body), opened, host)
    if call is Call.REFUND:
        return _posted(BACK, read_body(body), opened, host)
    if call in {Call.QUERY, Call.QUERY_REFUND}:
        asked = {
            **_head("00", "00", "000000"),
            "accessType": "0",
            "channelType": "07",
            **_identity(attempt, opened),
        }
        return _posted(product.query_path, asked, opened, host)
    raise MethodUnknown(f"unionpay has no call {call.value!r} for method {attempt.method!r}", field="method")


def read_body(body: bytes) -> dict[str, str]:
    """The fields of a first body."""
    return msgspec.json.decode(body, type=dict[str, str])


def _posted(path: str, fields: dict[str, str], opened: Opened, host: int) -> Request:
    return Request(
        method="POST",
        url=opened.base_urls[host % len(opened.base_urls)] + path,
        headers=_HEADERS,
        body=form(signed(fields, opened)),
    )


def signed(fields: dict[str, str], opened: Opened) -> dict[str, str]:
    """The fields as they are sent: what is empty left out, the certificate named, signed."""
    sent = {name: value for name, value in fields.items() if value}
    sent["certId"] = opened.cert_id
    sent[SIGNATURE] = sign(opened.signer, sent)
    return sent


def _head(kind: str, sub_type: str, biz_type: str) -> dict[str, str]:
    return {
        "version": VERSION,
        "encoding": ENCODING,
        "signMethod": SIGN_METHOD,
        "txnType": kind,
        "txnSubType": sub_type,
        "bizType": biz_type,
    }


def _identity(attempt: Attempt, opened: Opened) -> dict[str, str]:
    return {"merId": opened.mer_id, "orderId": attempt.no, "txnTime": time_text(attempt.created_ms)}


def _amount(attempt: Attempt) -> dict[str, str]:
    return {"txnAmt": str(attempt.minor), "currencyCode": CODE_OF_CNY}
