"""UnionPay: forms, unencoded answers, and the certificate inside each message."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_plus, unquote_plus, urlencode

from oncepay.channels import forms, rsa, texts
from oncepay.channels.unionpay import answers, chain, codes, credentials, facts, keys, notifications, wire
from oncepay.domain.attempt import Call
from oncepay.ports import Answered, Notice
from tests.channels import unionpay_kit as kit
from tests.fuzz.channels_kit import check_notice, check_read, check_silent
from tests.fuzz.fuzzer import Target
from tests.fuzz.wechat import der_of

MODULES: Final = (forms, rsa, texts, answers, chain, codes, credentials, facts, keys, notifications, wire)
CALLS: Final = (Call.PREPAY, Call.QUERY, Call.REFUND, Call.QUERY_REFUND)
TOKENS: Final = tuple(
    word.encode()
    for word in (
        *kit.transaction(kit.order()), "qrCode=", "tn=", "reqReserved={a=1&b=2}", "reqReserved=[", "signature=", "signPubKeyCert=",
        "origRespCode=34", "respCode=00", "respCode=05", "respCode=98", "txnType=01", "txnType=04", "txnType=31", "0229",
        "0301123045", "00010101000000", "99991231235959", "156", "840", kit.MER_ID, kit.NO, kit.REFUND_NO, "{", "}", "[", "]",
        "-----BEGIN CERTIFICATE-----", "%26", "%3D", "+", "version=5.1.0", "signMethod=01", "encoding=UTF-8",
    )
)  # fmt: skip

NOTICES: Final = tuple(
    kit.notice(attempt, reqReserved=base64.b64encode(echo.encode()).decode())
    for attempt, echo in ((kit.order(), "pc:7"), (kit.refund(), f"pc:7:{kit.NO}"))
)
SIGNED: Final = tuple(urlencode(kit.signed(fields)).encode() for fields in NOTICES)
ANSWERS: Final = {
    Call.PREPAY: kit.told(kit.order(method="qr"), qrCode="https://qr.95516.com/1"),
    Call.QUERY: kit.transaction(kit.order()),
    Call.REFUND: kit.told(kit.refund()),
    Call.QUERY_REFUND: kit.transaction(kit.refund()),
}


def heard(body: bytes) -> object:
    return check_notice(kit.CHANNEL.read_notification({}, body, kit.ACCOUNT, now_ms=kit.NOW_MS))


def said(call: Call, body: bytes) -> object:
    return kit.read(call, Answered(status=200, headers={}, body=body))


GENUINE: Final = tuple(heard(body) for body in SIGNED)
SAID: Final = {call: kit.read(call, kit.answered(fields)) for call, fields in ANSWERS.items()}


def raw_notification(data: bytes) -> None:
    """Nobody signed it."""
    found = heard(data)
    assert not isinstance(found, Notice) or found in GENUINE


def notification(data: bytes) -> None:
    """Signed as it is, by whoever reads forms without care."""
    pairs = [pair.partition(b"=") for pair in data.split(b"&")]
    fields = {_decoded(name): _decoded(value) for name, _, value in pairs} | {
        "signPubKeyCert": kit.UNIONPAY_CERTIFICATE
    }
    sign = quote_plus(kit.signature(fields))
    heard(b"%b&%b&signature=%b" % (data, _CERTIFICATE, sign.encode()))


_CERTIFICATE: Final = urlencode({"signPubKeyCert": kit.UNIONPAY_CERTIFICATE}).encode()


def _decoded(part: bytes) -> str:
    return unquote_plus(part.decode("latin-1"), errors="replace")


def raw_answer(data: bytes) -> None:
    """Nobody signed it."""
    call = CALLS[(data[0] if data else 0) % len(CALLS)]
    read = kit.read(call, Answered(status=200, headers={}, body=data[1:]))
    check_silent(read, unless=(SAID[call],))


def answer(data: bytes) -> None:
    """Signed as it is read, if it can be, else by every & and =."""
    call, text = CALLS[(data[0] if data else 0) % len(CALLS)], data[1:].decode("utf-8", "replace")
    try:
        fields = wire.read_plain(text)
    except ValueError:
        fields = {name: value for name, _, value in (part.partition("=") for part in text.split("&"))}
    body = kit.plain(kit.signed(fields)) if text else b""
    check_read(kit.read(call, Answered(status=200, headers={}, body=body)))


def certificate(data: bytes) -> None:
    """DER, or PEM as it is, inside a message that is signed with the key of the real one; and in the settings."""
    pem = data if data[:1] == b"-" else b"".join(_armoured(data))
    fields = kit.signed(NOTICES[0], certificate=pem.decode("latin-1"))
    heard(urlencode(fields).encode())
    try:
        chain.authorities(pem.decode("latin-1"), kit.CERTIFICATES["root_pem"])
    except ValueError as error:
        str(error).encode()


def _armoured(der: bytes) -> Iterator[bytes]:
    yield b"-----BEGIN CERTIFICATE-----\n"
    yield base64.encodebytes(der)
    yield b"-----END CERTIFICATE-----"


def targets() -> Iterator[Target]:
    """All of UnionPay's."""
    pem = kit.CERTIFICATES["unionpay_sign_cert_pem"]
    made = {
        "unionpay.notification.raw": (raw_notification, SIGNED),
        "unionpay.notification": (notification, tuple(urlencode(fields).encode() for fields in NOTICES)),
        "unionpay.answer.raw": (
            raw_answer,
            tuple(bytes((CALLS.index(call),)) + kit.plain(kit.signed(fields)) for call, fields in ANSWERS.items()),
        ),
        "unionpay.answer": (
            answer,
            tuple(bytes((CALLS.index(call),)) + kit.plain(fields) for call, fields in ANSWERS.items()),
        ),
        "unionpay.certificate": (certificate, (pem.encode(), der_of(pem), der_of(kit.CERTIFICATES["middle_pem"]))),
    }
    for name, (run, seeds) in made.items():
        yield Target(name=name, run=run, modules=MODULES, seeds=seeds, tokens=TOKENS)
