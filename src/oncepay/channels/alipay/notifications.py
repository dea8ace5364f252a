"""What Alipay tells us by itself: verified over the bytes as they came, then read. Never raises.

A notice is a form. Its signed text is made of the decoded values, in the notice's charset, and so is verified over
bytes: all that is read after that is ASCII. Payments and refunds come to one address; one of a refund names two numbers
and says how much went back of the payment in all, so it does not prove how much this refund was: its query does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from oncepay.channels.alipay.facts import of_trade
from oncepay.channels.alipay.keys import SIGN_TYPE, Doubt, verify
from oncepay.channels.alipay.opened import Opened
from oncepay.channels.alipay.wire import NO, TRADE_NO, Trade
from oncepay.channels.forms import decoded
from oncepay.channels.texts import differing, printable, read_time
from oncepay.domain.attempt import Direction, Fact, Road
from oncepay.domain.change import Evidence
from oncepay.ports import Notice, Refused

KIND: Final = "trade_status_sync"
_UNSIGNED: Final = frozenset({b"sign", b"sign_type"})
_READ: Final = (*Trade.__struct_fields__, "app_id", "seller_id", "notify_type", "notify_time", "out_biz_no")
_TRADE: Final = tuple((name, name.encode()) for name in Trade.__struct_fields__)
# What is signed is ``k=v&k=v`` without any escape, so a field that swallows its neighbour (``a=1%26b=2``), or a name
# that does (``a=1%26b``), is signed like the two of them. A name is a word, and no field holds one that we read.
_SWALLOWED: Final = re.compile(b"&(%b)=" % "|".join(_READ).encode())


def read(body: bytes, opened: Opened, *, now_ms: int) -> Notice | Refused:
    """Everything that counts stands in the body."""
    try:
        form = fields(body)
        sign_type, sign = _text(form, "sign_type"), _text(form, "sign")
        serial = _text(form, "alipay_cert_sn")
    except ValueError as error:
        return Refused(why=f"unreadable: {error}")
    if sign_type != SIGN_TYPE:
        return Refused(why=f"sign_type is {sign_type[:16]!r}, not {SIGN_TYPE}")
    told = verify(signed_texts(form), sign, opened.verifiers, serial=serial, now_ms=now_ms)
    if isinstance(told, Doubt):
        return Refused(why=told.why)
    try:
        return _notice(form, opened)
    except ValueError as error:
        return Refused(why=f"signed, and unreadable: {error}")


def fields(body: bytes) -> dict[bytes, bytes]:
    """A form, decoded once. Raises ValueError, also for a field that holds another."""
    found = decoded(body)
    for name, value in found.items():
        if b"&" in value and (swallowed := _SWALLOWED.search(value)) is not None:
            raise ValueError(f"the field {name.decode()[:64]!r} holds another: {swallowed[1].decode()!r}")
    return found


def signed_texts(form: Mapping[bytes, bytes]) -> list[bytes]:
    """What is signed of a notice: as it came, and if anything is empty, without that. Nobody else can tell whether the
    vendor counts what is empty; to us it is not there."""
    names = sorted(form.keys() - _UNSIGNED)
    texts = [b"&".join([b"%b=%b" % (name, form[name]) for name in names])]
    if not all(form.values()):
        texts.append(b"&".join([b"%b=%b" % (name, form[name]) for name in names if form[name]]))
    return texts


def _text(form: Mapping[bytes, bytes], name: str) -> str:
    return form.get(name.encode(), b"").decode("ascii")


def _notice(form: Mapping[bytes, bytes], opened: Opened) -> Notice | Refused:
    kind = _text(form, "notify_type")
    if kind != KIND:
        return Refused(why=f"neither a payment nor a refund: {kind!r}")
    trade = Trade(**{name: form[raw].decode("ascii") for name, raw in _TRADE if raw in form})
    number = trade.out_trade_no
    if not NO.fullmatch(number):
        raise ValueError(f"out_trade_no is {number[:64]!r}")
    if not TRADE_NO.fullmatch(trade.trade_no):
        raise ValueError(f"trade_no is {trade.trade_no[:64]!r}")
    wrong = differing(
        app_id=(_text(form, "app_id"), opened.app_id),
        seller_id=(_text(form, "seller_id"), opened.seller_id),
    )
    said_ms, _ = read_time(_text(form, "notify_time"))
    paid = of_trade(trade, number=number, road=Road.NOTIFICATION, wrong=wrong, said_ms=said_ms)
    echo = printable(unquote(form.get(b"passback_params", b"").decode(errors="replace")))
    refund_no = form.get(b"out_biz_no", b"").decode(errors="replace")
    if not NO.fullmatch(refund_no) or refund_no in {number, trade.trade_no}:
        return Notice(numbers=(number,), evidence=(paid,), echo=echo)
    refunded = Evidence(
        number=refund_no,
        fact=Fact.PENDING,
        road=Road.NOTIFICATION,
        direction=Direction.OUT,
        wrong=wrong,
        of=number,
        trade_no=trade.trade_no,
        said_ms=said_ms,
        returned_minor=paid.returned_minor,
    )
    return Notice(numbers=(number, refund_no), evidence=(paid, refunded), echo=echo)
