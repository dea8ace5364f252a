"""The fields a request must have and how they must look; what is missing is 13, what looks wrong is 10."""

import re
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from oncepay.sandbox.clock import BEIJING
from oncepay.sandbox.unionpay.wire import Fields, Refusal, codec

# What tells who speaks and in which manner; looked at before the signature.
ENVELOPE: Final = ("version", "encoding", "signMethod", "merId", "certId", "signature")
BASE: Final = (*ENVELOPE, "txnType", "txnSubType", "bizType", "accessType", "txnTime")
ORDER: Final = (*BASE, "orderId")
MONEY: Final = (*ORDER, "channelType", "txnAmt", "backUrl")
NEEDED: Final = {
    "front": (*MONEY, "currencyCode", "frontUrl"),
    "app": (*MONEY, "currencyCode"),
    "qr": (*MONEY, "currencyCode"),
    "refund": (*MONEY, "origQryId"),
    "void": (*MONEY, "origQryId"),
    "query": ORDER,
    "file": (*BASE, "settleDate", "fileType"),
}
_FORMS: Final = {
    "version": re.compile(r"5\.1\.0"),
    "signMethod": re.compile("01"),
    "merId": re.compile(r"[0-9A-Za-z]{15}"),
    "certId": re.compile(r"[0-9]{1,50}"),
    "txnType": re.compile(r"[0-9]{2}"),
    "txnSubType": re.compile(r"[0-9]{2}"),
    "bizType": re.compile(r"[0-9]{6}"),
    "accessType": re.compile(r"[012]"),
    "channelType": re.compile(r"[0-9]{2}"),
    "orderId": re.compile(r"[0-9A-Za-z]{8,32}"),
    "txnAmt": re.compile(r"[1-9][0-9]{0,11}"),  # fen
    "currencyCode": re.compile("156"),
    "origQryId": re.compile(r"[0-9]{21}"),
    "settleDate": re.compile(r"(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"),
    "fileType": re.compile("00"),
}
_TIME: Final = re.compile(r"[0-9]{14}")
RESERVED_BYTES: Final = 1024
URL_BYTES: Final = 256


def check_envelope(fields: Fields) -> None:
    """What must be right before a signature can be looked at."""
    _needed(fields, ENVELOPE)
    for name in ("version", "signMethod", "merId", "certId"):
        _looks_right(fields, name)


def check(fields: Fields, operation: str) -> None:
    """All fields of one operation, and the form of whatever else is known."""
    _needed(fields, NEEDED[operation])
    for name in _FORMS:
        _looks_right(fields, name)
    for name in ("txnTime", "payTimeout"):
        if name in fields:
            moment(fields, name)
    for name in ("frontUrl", "backUrl"):
        if name in fields and not _is_url(fields[name]):
            raise Refusal("10", name)
    if len(fields.get("reqReserved", "").encode(codec(fields))) > RESERVED_BYTES:
        raise Refusal("10", "reqReserved")
    if "payTimeout" in fields and moment(fields, "payTimeout") <= moment(fields, "txnTime"):
        raise Refusal("10", "payTimeout")


def near(fields: Fields, now: float, window_s: float) -> None:
    """A txnTime must be about now."""
    if abs(now - moment(fields, "txnTime")) > window_s:
        raise Refusal("10", "txnTime")


def moment(fields: Fields, name: str) -> float:
    """A ``YYYYMMDDhhmmss`` of Beijing as epoch seconds."""
    if _TIME.fullmatch(fields[name]):
        try:
            return datetime.strptime(fields[name], "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).timestamp()
        except ValueError:
            pass  # a 31st of February: refused below
    raise Refusal("10", name)


def _needed(fields: Fields, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in fields:
            raise Refusal("13", name)


def _looks_right(fields: Fields, name: str) -> None:
    if name in fields and not _FORMS[name].fullmatch(fields[name]):
        raise Refusal("10", name)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and len(text) <= URL_BYTES
