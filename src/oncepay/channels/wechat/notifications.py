"""What WeChat Pay tells us by itself: verified over the raw bytes, then opened, then read. Never raises.

A payment's message names one number, a refund's two. Only successful payments are announced; closing is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from oncepay.channels.texts import differing, printable
from oncepay.channels.wechat.accounts import Opened
from oncepay.channels.wechat.facts import of_refund, of_trade
from oncepay.channels.wechat.keys import Doubt, Genuine, unseal, verify
from oncepay.channels.wechat.wire import Envelope, RefundNotified, Trade, strict
from oncepay.domain.attempt import Road
from oncepay.ports import Notice, Refused


def read(headers: Mapping[str, str], body: bytes, opened: Opened, *, now_ms: int) -> Notice | Refused:
    """``headers``: names in lower case."""
    genuine = verify(headers, body, opened.verifiers, now_ms=now_ms)
    if isinstance(genuine, Doubt):
        why = genuine.why
        if genuine.unsigned and body.lstrip().startswith(b"<"):
            why = "XML, a message of APIv2: a refund made in the console, or without notify_url"
        return Refused(why=why, probe=genuine.probe, refresh=genuine.refresh)
    try:
        return _opened(genuine, opened)
    except ValueError as error:
        return Refused(why=f"signed, and unreadable: {error}")


def _opened(genuine: Genuine, opened: Opened) -> Notice | Refused:
    envelope = strict(genuine.body, Envelope)
    kind = envelope.event_type.partition(".")[0]
    if (kind, envelope.resource.original_type) not in {("TRANSACTION", "transaction"), ("REFUND", "refund")}:
        return Refused(
            why=f"neither a payment nor a refund: {envelope.event_type!r} of {envelope.resource.original_type!r}"
        )
    plain = unseal(opened.sealer, envelope.resource)
    if kind == "TRANSACTION":
        return _payment(strict(plain, Trade), opened, genuine)
    return _refund(strict(plain, RefundNotified), opened, genuine)


def _payment(trade: Trade, opened: Opened, genuine: Genuine) -> Notice:
    number = trade.out_trade_no
    evidence = of_trade(trade, opened, number=number, road=Road.NOTIFICATION, said_ms=genuine.said_ms)
    return Notice(numbers=(number,), evidence=(evidence,), echo=printable(trade.attach or ""))


def _refund(refund: RefundNotified, opened: Opened, genuine: Genuine) -> Notice:
    evidence = of_refund(
        refund,
        number=refund.out_refund_no,
        road=Road.NOTIFICATION,
        said_ms=genuine.said_ms,
        wrong=differing(mchid=(refund.mchid, opened.mchid)),
    )
    return Notice(numbers=(refund.out_trade_no, refund.out_refund_no), evidence=(evidence,))
