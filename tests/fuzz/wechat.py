"""WeChat Pay: what lies before its signature, behind it, and inside the seal."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from oncepay.channels import accounts, rsa, texts
from oncepay.channels.wechat import accounts as wechat_accounts
from oncepay.channels.wechat import answers, certificates, facts, keys, notifications, wire
from oncepay.domain import once
from oncepay.domain.attempt import Call, Fact
from oncepay.domain.errors import Invalid
from oncepay.ports import Answered, Notice
from tests.channels import wechat_kit as kit
from tests.fuzz.channels_kit import check_notice, check_read, check_silent
from tests.fuzz.fuzzer import Target

MODULES: Final = (
    accounts, rsa, texts, answers, certificates, facts, keys, notifications, wire, wechat_accounts, once,
)  # fmt: skip
CALLS: Final = (Call.PREPAY, Call.QUERY, Call.CLOSE, Call.REFUND, Call.QUERY_REFUND)
DONE: Final = {Call.CLOSE: 204}
STATUSES: Final = (200, 204, 202, 400, 401, 403, 404, 429, 500, 502)
TOKENS: Final = tuple(
    word.encode()
    for word in (
        *facts.TRADE_STATES, *facts.REFUND_STATES, "TRANSACTION.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED", "transaction",
        "refund", keys.SEAL, keys.SCHEME, keys.PROBE, keys.PUBLIC_KEY_ID, kit.SERIAL, kit.KEY_ID, kit.MCHID, kit.APPID,
        *kit.trade(""), *kit.refund_told(""), '"amount":{"total":1}', '"refund_status":"SUCCESS"', "ORDERPAID",
        "ORDER_NOT_EXIST", "SIGN_ERROR", '"code":"', "2027-01-15T16:05:00+08:00", "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-23:59", "CNY", "USD", "wechatpay-signature: ", "wechatpay-serial: ", "<xml>",
    )
)  # fmt: skip


def told(vector: Mapping[str, Any]) -> bytes:
    return json.dumps(vector, ensure_ascii=False, separators=(",", ":")).encode()


def split(data: bytes) -> tuple[dict[str, str], bytes]:
    """Headers, an empty line, the body; headers as the door has them."""
    head, _, body = data.partition(b"\n\n")
    lines = (line.partition(":") for line in head.decode("latin-1").split("\n"))
    return {name.strip().lower(): value.strip() for name, _, value in lines}, body


def joined(headers: Mapping[str, str], body: bytes) -> bytes:
    return "\n".join(f"{name}: {value}" for name, value in headers.items()).encode("latin-1") + b"\n\n" + body


PLAIN: Final = (
    (b"\x00", told(kit.trade("SUCCESS"))),
    (b"\x00", told(kit.trade("REFUND", attach=None))),
    (b"\x01", told(kit.refund_told("") | {"mchid": kit.MCHID, "refund_status": "SUCCESS"})),
    (b"\x01", told(kit.refund_told("") | {"mchid": kit.MCHID, "refund_status": "ABNORMAL"})),
)
KINDS: Final = (("TRANSACTION.SUCCESS", "transaction"), ("REFUND.SUCCESS", "refund"))
BODIES: Final = tuple(kit.notified(plain, event=KINDS[kind[0]][0], original=KINDS[kind[0]][1]) for kind, plain in PLAIN)
GENUINE: Final = tuple(kit.CHANNEL.read_notification(kit.headers(b), b, kit.ACCOUNT, now_ms=kit.NOW_MS) for b in BODIES)


def raw_notification(data: bytes) -> None:
    """Nobody signed it."""
    headers, body = split(data)
    found = check_notice(kit.CHANNEL.read_notification(headers, body, kit.ACCOUNT, now_ms=kit.NOW_MS))
    assert not isinstance(found, Notice) or found in GENUINE


def envelope(data: bytes) -> None:
    """Signed as it is."""
    check_notice(kit.CHANNEL.read_notification(kit.headers(data), data, kit.ACCOUNT, now_ms=kit.NOW_MS))


def sealed(data: bytes) -> None:
    """Sealed and signed as it is."""
    event, original = KINDS[data[0] & 1 if data else 0]
    body = kit.notified(data[1:], event=event, original=original)
    check_notice(kit.CHANNEL.read_notification(kit.headers(body), body, kit.ACCOUNT, now_ms=kit.NOW_MS))


def answer(data: bytes) -> None:
    """A signed answer to any call, with any status."""
    which, body = (data[0] if data else 0), data[1:]
    call = CALLS[which % len(CALLS)]
    status = DONE.get(call, 200) if which < 128 else STATUSES[which % len(STATUSES)]
    read = check_read(kit.read(call, kit.answered(status, body)))
    assert read.credential is None or call is Call.PREPAY


ANSWERS: Final = {
    Call.PREPAY: (200, told({"code_url": "weixin://wxpay/bizpayurl?pr=1"})),
    Call.QUERY: (200, told(kit.trade("SUCCESS"))),
    Call.CLOSE: (204, b""),
    Call.REFUND: (200, told(kit.refund_told("PROCESSING"))),
    Call.QUERY_REFUND: (404, told({"code": "RESOURCE_NOT_EXISTS", "message": "no"})),
}
SAID: Final = {call: kit.read(call, kit.answered(*said)) for call, said in ANSWERS.items()}


def raw_answer(data: bytes) -> None:
    """Nobody signed it."""
    call, status = CALLS[(data[0] if data else 0) % 5], STATUSES[(data[1] if data[1:] else 0) % len(STATUSES)]
    headers, body = split(data[2:])
    read = kit.read(call, Answered(status=status, headers=headers, body=body))
    if read.evidence[0].fact is not Fact.SILENT and body in (said for _, said in ANSWERS.values()):
        # Neither the status is signed, nor which call it answers: that, TLS says.
        check_read(read)
    else:
        check_silent(read, unless=(SAID[call],))


def _pem() -> bytes:
    pem: str = kit.KEYS["platform_certificate_pem"]
    return pem.encode()


def certificate(data: bytes) -> None:
    """DER, or PEM as it is, as a certificate that was sealed for us, in a signed answer; and in the settings."""
    pem = data if data[:1] == b"-" else _armoured(data)
    body = kit.notified(pem, original="certificate")
    resource = json.loads(body)["resource"]
    listed = told({"data": [{"serial_no": kit.SERIAL, "encrypt_certificate": resource}]})
    kit.CHANNEL.read_keys(kit.answered(200, listed), kit.ACCOUNT, now_ms=kit.NOW_MS)
    entry = {"serial_no": kit.SERIAL, "pem": pem.decode("latin-1")}
    try:
        wechat_accounts.certificates([entry])
    except Invalid as error:
        str(error).encode()


def _armoured(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def der_of(pem: str) -> bytes:
    """The bytes of the first certificate of a text."""
    lines = pem.strip().splitlines()
    return base64.b64decode("".join(lines[1 : lines.index("-----END CERTIFICATE-----")]))


def targets() -> Iterator[Target]:
    """All of WeChat Pay's."""
    made = {
        "wechat.notification": (raw_notification, tuple(joined(kit.headers(body), body) for body in BODIES)),
        "wechat.envelope": (envelope, BODIES),
        "wechat.sealed": (sealed, tuple(kind + plain for kind, plain in PLAIN)),
        "wechat.answer": (
            answer,
            tuple(
                bytes((CALLS.index(call) + (0 if status < 400 else 130),)) + body
                for call, (status, body) in ANSWERS.items()
            ),
        ),
        "wechat.answer.raw": (
            raw_answer,
            tuple(
                bytes((CALLS.index(call), STATUSES.index(status))) + joined(kit.headers(body), body)
                for call, (status, body) in ANSWERS.items()
            ),
        ),
        "wechat.certificate": (certificate, (_pem(), der_of(kit.KEYS["platform_certificate_pem"]))),
    }
    for name, (run, seeds) in made.items():
        yield Target(name=name, run=run, modules=MODULES, seeds=seeds, tokens=TOKENS)
