"""Alipay: forms and answers before and behind the signature, and the certificates that it sends."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

from oncepay.channels import forms, rsa, texts
from oncepay.channels.alipay import answers, certificates, facts, keys, notifications, wire
from oncepay.domain import once
from oncepay.domain.attempt import Call
from oncepay.ports import Notice
from tests.channels import alipay_kit as kit
from tests.fuzz.channels_kit import check_notice, check_read, check_silent
from tests.fuzz.fuzzer import Target
from tests.fuzz.wechat import der_of

MODULES: Final = (forms, rsa, texts, answers, certificates, facts, keys, notifications, wire, once)
CALLS: Final = tuple(kit.ROOTS)
TOKENS: Final = tuple(
    word.encode()
    for word in (
        *facts.STATES, *kit.PARTLY_BACK, *kit.ROOTS.values(), "error_response", '"sign":"', '"alipay_cert_sn":"', "sign=",
        "sign_type=RSA2", "&sign_type=RSA", "alipay_cert_sn=", kit.SERIAL, kit.APP_ID, kit.SELLER_ID, '"code":"10000"',
        '"code":"40004"', '"sub_code":"ACQ.TRADE_NOT_EXIST"', "ACQ.TRADE_HAS_SUCCESS", "20001", "isv.invalid-signature",
        "REFUND_SUCCESS", '"fund_change":"Y"', '"action":"refund"', '"action":"close"', '"retry_flag":"Y"', "88.88",
        "0.001", "9999999999999.99", "2026-03-01 12:31:20.143", "9999-12-31 23:59:59", "%26out_trade_no=", "gbk", "\\/",
    )
)  # fmt: skip

FORMS: Final = tuple(
    kit.form(fields)
    for fields in (kit.PAID, kit.PARTLY_BACK, kit.PAID | {"trade_status": "TRADE_CLOSED", "buyer_id": ""})
)
SIGNED: Final = (kit.notified(kit.PAID), kit.notified(kit.PARTLY_BACK))
GENUINE: Final = tuple(kit.heard(body) for body in SIGNED)


def raw_notification(data: bytes) -> None:
    """Nobody signed it."""
    found = check_notice(kit.heard(data))
    assert not isinstance(found, Notice) or found in GENUINE


def notification(data: bytes) -> None:
    """Signed as it is: sorted, decoded, whatever it is."""
    pairs = [pair.partition(b"=") for pair in data.split(b"&")]
    told = {_decoded(name): _decoded(value) for name, _, value in pairs}
    text = b"&".join(b"%b=%b" % (name, told[name]) for name in sorted(told) if name not in {b"sign", b"sign_type"})
    check_notice(kit.heard(b"%b&sign_type=RSA2&sign=%b" % (data, quote_plus(kit.signature(text)).encode())))


def _decoded(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


CONTENTS: Final = {
    Call.PREPAY: {"code": "10000", "out_trade_no": kit.NO, "qr_code": "https://qr.alipay.com/x"},
    Call.QUERY: {"code": "10000", **kit.TRADE},
    Call.CLOSE: {"code": "10000", "out_trade_no": kit.NO, "trade_no": kit.TRADE_NO},
    Call.CANCEL: {"code": "10000", "out_trade_no": kit.NO, "action": "refund", "retry_flag": "N"},
    Call.REFUND: {"code": "10000", **kit.REFUND},
    Call.QUERY_REFUND: {"code": "10000", **kit.REFUND_QUERY},
}
ANSWERS: Final = {call: kit.answered(call, content) for call, content in CONTENTS.items()}
SAID: Final = {call: kit.read(call, answered) for call, answered in ANSWERS.items()}


def answer(data: bytes) -> None:
    """Signed as it is."""
    call = CALLS[(data[0] if data else 0) % len(CALLS)]
    check_read(kit.read(call, kit.answered(call, data[1:])))


def raw_answer(data: bytes) -> None:
    """Nobody signed it: whoever cuts the text out of it must cut out what was signed."""
    call = CALLS[(data[0] if data else 0) % len(CALLS)]
    for to in (kit.ACCOUNT, kit.CERTIFIED):
        check_silent(kit.read(call, kit.raw(data[1:]), to=to), unless=(SAID[call],))


def certificate(data: bytes) -> None:
    """DER, or PEM as it is, downloaded in a signed answer."""
    content = {"code": "10000", "alipay_cert_content": base64.b64encode(data).decode()}
    text = kit.text_of(content)
    root = wire.root_of(certificates.METHOD)
    body = b'{"%b":%b,"sign":"%b"}' % (root.encode(), text, kit.signature(text).encode())
    kit.CHANNEL.read_keys(kit.raw(body), kit.CERTIFIED, now_ms=kit.NOW_MS)


def targets() -> Iterator[Target]:
    """All of Alipay's."""
    pem = kit.CERTIFICATES["alipay_cert_pem"]
    made = {
        "alipay.notification.raw": (raw_notification, SIGNED),
        "alipay.notification": (notification, FORMS),
        "alipay.answer.raw": (
            raw_answer,
            tuple(bytes((CALLS.index(call),)) + answered.body for call, answered in ANSWERS.items()),
        ),
        "alipay.answer": (
            answer,
            tuple(bytes((CALLS.index(call),)) + kit.text_of(content) for call, content in CONTENTS.items()),
        ),
        "alipay.certificate": (
            certificate,
            (pem.encode(), der_of(pem), (pem + kit.CERTIFICATES["issuing_ca_pem"]).encode()),
        ),
    }
    for name, (run, seeds) in made.items():
        yield Target(name=name, run=run, modules=MODULES, seeds=seeds, tokens=TOKENS)
