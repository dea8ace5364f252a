"""What the payer gets: a form made of keys alone, and what an answer brings, to whom it is and to nobody else."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from oncepay.domain.attempt import Call, Fact
from oncepay.domain.errors import MethodUnknown
from oncepay.ports import Draft
from tests.channels.unionpay_kit import (
    ACCOUNT,
    CHANNEL,
    MERCHANT_KEY,
    NOTIFY_URL,
    NOW_MS,
    RETURN_URL,
    answered,
    order,
    read,
    signature,
    told,
)

CODE_URL = "https://qr.95516.com/00010000/62012345678901234567890123456789"


@pytest.mark.parametrize(
    ("method", "fields", "credential"),
    [
        ("qr", {"qrCode": CODE_URL}, {"type": "qr", "code_url": CODE_URL}),
        ("app", {"tn": "812345678901234567801"}, {"type": "tn", "tn": "812345678901234567801"}),
    ],
)
def test_what_the_payer_gets(method: str, fields: dict[str, str], credential: dict[str, str]) -> None:
    attempt = order(method=method)
    found = read(Call.PREPAY, answered(told(attempt, **fields)), attempt)
    assert [(e.fact, e.words) for e in found.evidence] == [(Fact.PENDING, "")]
    assert found.credential is not None
    assert json.loads(found.credential.body) == credential
    assert found.credential.until_ms == attempt.expires_ms


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("qr", {}),
        ("qr", {"tn": "812345678901234567801"}),
        ("qr", {"qrCode": "https://qr.95516.com/ 1"}),
        ("qr", {"qrCode": "62012345"}),
        ("qr", {"qrCode": "https://" + "x" * 501}),
        ("app", {}),
        ("app", {"qrCode": CODE_URL}),
        ("app", {"tn": "8123-4567"}),
    ],
)
def test_an_answer_without_what_the_method_needs_is_silent(method: str, fields: dict[str, str]) -> None:
    attempt = order(method=method)
    found = read(Call.PREPAY, answered(told(attempt, **fields)), attempt)
    assert ([e.fact for e in found.evidence], found.credential) == ([Fact.SILENT], None)


@pytest.mark.parametrize("code", ["05", "12", "A6", "03"])
def test_only_success_brings_a_credential(code: str) -> None:
    attempt = order(method="qr")
    assert read(Call.PREPAY, answered(told(attempt, code, qrCode=CODE_URL)), attempt).credential is None


@pytest.mark.parametrize(
    "fields", [{"orderId": "PC2"}, {"txnTime": "20260301123046"}, {"merId": "7"}, {"txnType": "04"}]
)
def test_somebody_elses_credential_is_not_handed_on(fields: dict[str, Any]) -> None:
    attempt = order(method="qr")
    found = read(Call.PREPAY, answered(told(attempt, qrCode=CODE_URL, **fields)), attempt)
    assert found.evidence[0].wrong
    assert found.credential is None


def test_a_form_is_made_of_the_first_body_and_keys_alone() -> None:
    attempt = order()
    draft = Draft(attempt=attempt, subject="tea", app="pc", order_no="7", notify_url=NOTIFY_URL, return_url=RETURN_URL)
    body = CHANNEL.draft(draft, ACCOUNT)
    made = CHANNEL.credential(attempt, ACCOUNT, body=body)
    assert made == CHANNEL.credential(msgspec.structs.replace(attempt, shown_ms=NOW_MS, calls=3), ACCOUNT, body=body)
    told = json.loads(made.body)
    assert (told["type"], told["action"]) == ("form", "https://gateway.example.test/gateway/api/frontTransReq.do")
    assert told["fields"].items() > json.loads(body).items()
    raw = base64.b64decode(told["fields"]["signature"])
    assert raw == base64.b64decode(signature(told["fields"], MERCHANT_KEY))
    assert len(raw) == 256
    assert made.until_ms == attempt.expires_ms


@pytest.mark.parametrize("method", ["qr", "app", ""])
def test_no_form_for_what_a_call_makes(method: str) -> None:
    with pytest.raises(MethodUnknown):
        CHANNEL.credential(order(method=method), ACCOUNT, body=b"{}")
