"""Who is believed: only what is signed, fresh, and by a key that the account holds."""

from __future__ import annotations

from typing import Any

import pytest

from oncepay.domain.attempt import Call, Fact
from oncepay.domain.change import Evidence, Fault
from oncepay.ports import Answer, Answered
from tests.channels.wechat_kit import (
    ACCOUNT,
    CHANNEL,
    KEY_ID,
    NONCE,
    NOW_MS,
    PLATFORM_KEY,
    PUBLIC_KEY,
    SERIAL,
    account,
    answered,
    headers,
    order,
    read,
    trade,
)


def evidence(call: Call, answer: Answer) -> Evidence:
    (found,) = read(call, answer).evidence
    return found


GOOD = trade("SUCCESS")


def doubted(
    answer: Answered, *, status: int = 200, drop: tuple[str, ...] = (), swap: dict[str, str] | None = None
) -> Answered:
    told = {name: value for name, value in answer.headers.items() if name not in drop} | (swap or {})
    return Answered(status=status, headers=told, body=answer.body)


@pytest.mark.parametrize(
    "answer",
    [
        answered(200, GOOD, at_ms=NOW_MS - 300_000),
        answered(200, GOOD, at_ms=NOW_MS + 300_000),
        answered(200, GOOD, key=PUBLIC_KEY),  # by another key than it says
        answered(200, GOOD, key=PLATFORM_KEY, serial=KEY_ID),
        doubted(answered(200, GOOD), drop=("wechatpay-signature",)),
        doubted(answered(200, GOOD), drop=("wechatpay-timestamp",)),
        doubted(answered(200, GOOD), drop=("wechatpay-nonce",)),
        doubted(answered(200, GOOD), drop=("wechatpay-serial",)),
        doubted(answered(200, GOOD), swap={"wechatpay-signature-type": "WECHATPAY2-SHA256-RSA1024"}),
        doubted(answered(200, GOOD), swap={"wechatpay-signature-type": ""}),
        doubted(answered(200, GOOD), swap={"wechatpay-signature": "WECHATPAY/SIGNTEST/abc"}),
        doubted(answered(200, GOOD), swap={"wechatpay-signature": "a"}),
        doubted(answered(200, GOOD), swap={"wechatpay-signature": "ä"}),
        doubted(answered(200, GOOD), swap={"wechatpay-signature": "QUJD\nREVG"}),
        doubted(answered(200, GOOD), swap={"wechatpay-timestamp": "0" + str(NOW_MS // 1000)}),
        doubted(answered(200, GOOD), swap={"wechatpay-timestamp": "+" + str(NOW_MS // 1000)}),
        doubted(answered(200, GOOD), swap={"wechatpay-timestamp": "9" * 5000}),
        doubted(answered(200, GOOD), swap={"wechatpay-timestamp": "１８００００００００"}),
        doubted(answered(200, GOOD), swap={"wechatpay-nonce": f"{NONCE}, {NONCE}"}),
        doubted(answered(200, GOOD), swap={"wechatpay-serial": f"{SERIAL}, {SERIAL}"}),
    ],
)
def test_what_is_not_believed_is_silent(answer: Answered) -> None:
    assert evidence(Call.QUERY, answer).fact is Fact.SILENT


def test_the_border_between_nonce_and_body_does_not_move() -> None:
    whole = answered(200, GOOD)
    moved = Answered(status=200, headers=dict(whole.headers), body=whole.body)
    nonce = f"{NONCE}\n{whole.body.decode()}"
    swapped = {**headers(b"", nonce=nonce), "wechatpay-nonce": nonce}
    assert evidence(Call.CLOSE, Answered(status=204, headers=swapped, body=b"")).fact is Fact.SILENT
    assert evidence(Call.QUERY, moved).fact is Fact.MOVED


def test_only_one_spelling_of_a_signature_is_taken() -> None:
    """The last digit before the padding has four bits to spare: sixteen spellings of the same bytes."""
    answer = answered(200, GOOD)
    signature = answer.headers["wechatpay-signature"]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = signature[:-3] + digits[digits.index(signature[-3]) ^ 1] + "=="
    assert evidence(Call.QUERY, doubted(answer, swap={"wechatpay-signature": other})).fact is Fact.SILENT


@pytest.mark.parametrize("spoilt", [{"wechatpay-signature": "QUJD"}, {"wechatpay-timestamp": "1"}])
def test_only_a_400_that_claims_no_signature_is_the_accounts_fault(spoilt: dict[str, str]) -> None:
    answer = answered(400, {"code": "INVALID_REQUEST"})
    assert evidence(Call.QUERY, doubted(answer, status=400, swap=spoilt)).fault is Fault.NONE
    unsigned = doubted(answer, status=400, drop=("wechatpay-signature",))
    assert evidence(Call.QUERY, unsigned).fault is Fault.ACCOUNT


@pytest.mark.parametrize("at_ms", [NOW_MS - 299_000, NOW_MS + 299_000])
def test_clocks_may_differ_by_less_than_five_minutes(at_ms: int) -> None:
    found = evidence(Call.QUERY, answered(200, GOOD, at_ms=at_ms))
    assert (found.fact, found.said_ms) == (Fact.MOVED, at_ms)


@pytest.mark.parametrize("at_ms", [NOW_MS - 300_000, NOW_MS + 300_000])
def test_what_was_signed_five_minutes_ago_is_silent(at_ms: int) -> None:
    """Validly signed all the same: a message that somebody kept, and sends again."""
    assert evidence(Call.QUERY, answered(200, GOOD, at_ms=at_ms)).fact is Fact.SILENT


def test_a_missing_signature_type_is_the_usual_one() -> None:
    assert evidence(Call.QUERY, doubted(answered(200, GOOD), drop=("wechatpay-signature-type",))).fact is Fact.MOVED


@pytest.mark.parametrize(
    ("to", "answer", "believed", "refresh"),
    [
        (account(), answered(200, GOOD), True, False),
        (account(), answered(200, GOOD, key=PUBLIC_KEY, serial=KEY_ID), True, False),
        (account(drop=("platform_certificates",)), answered(200, GOOD), False, True),
        (account(drop=("public_key_id", "public_key_pem")), answered(200, GOOD), True, False),
        # a public key comes from the console; there is nothing to fetch
        (
            account(drop=("public_key_id", "public_key_pem")),
            answered(200, GOOD, key=PUBLIC_KEY, serial=KEY_ID),
            False,
            False,
        ),
        (account(), answered(200, GOOD, serial="AB" * 20), False, True),
        (account(), answered(200, GOOD, serial=""), False, False),
    ],
)
def test_the_key_is_chosen_by_its_serial(to: Any, answer: Answered, believed: bool, refresh: bool) -> None:
    found = read(Call.QUERY, answer, to=to)
    assert (found.evidence[0].fact is Fact.MOVED) is believed
    assert found.refresh is refresh


def test_a_certificate_ends() -> None:
    late_ms = NOW_MS + 20 * 365 * 86_400_000
    answer = answered(200, GOOD, at_ms=late_ms)
    found = CHANNEL.read(Call.QUERY, answer, order(), ACCOUNT, now_ms=late_ms, nonce=NONCE)
    assert (found.evidence[0].fact, found.refresh) == (Fact.SILENT, True)
    public = answered(200, GOOD, at_ms=late_ms, key=PUBLIC_KEY, serial=KEY_ID)
    found = CHANNEL.read(Call.QUERY, public, order(), ACCOUNT, now_ms=late_ms, nonce=NONCE)
    assert found.evidence[0].fact is Fact.MOVED
