"""Alipay is held to what every channel is held to, in both modes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from oncepay.channels.alipay import Alipay
from oncepay.domain.attempt import Call, Fact
from oncepay.domain.money import decimal_text
from oncepay.ports import Account
from oncepay.testing import About, ChannelKit, Said, Seal, exercise_channel
from tests.channels import alipay_kit as alipay
from tests.channels.alipay_kit import ACCOUNT, ALIPAY_KEY, APP_KEY, CERTIFIED, SERIAL

REFUSED: dict[tuple[Call | None, Fact], str] = {
    (Call.PREPAY, Fact.OVER): "ACQ.INVALID_PARAMETER",
    (Call.QUERY, Fact.ABSENT): "ACQ.TRADE_NOT_EXIST",
    (Call.CLOSE, Fact.ABSENT): "ACQ.TRADE_NOT_EXIST",
    (Call.REFUND, Fact.OVER): "ACQ.TRADE_NOT_ALLOW_REFUND",
    (Call.QUERY_REFUND, Fact.ABSENT): "ACQ.TRADE_NOT_EXIST",
}
STATES = {Fact.PENDING: "WAIT_BUYER_PAY", Fact.MOVED: "TRADE_SUCCESS", Fact.OVER: "TRADE_CLOSED"}


class AlipayKit(ChannelKit):
    """Alipay's side."""

    now_ms = alipay.NOW_MS
    payers: Mapping[str, Mapping[str, str]] = {"wap": {"quit_url": "https://shop.example/cart"}}

    def __init__(self, account: Account) -> None:
        self.account = account
        identity = account.identity
        self.others = (
            msgspec.structs.replace(account, id="another-app", identity={**identity, "app_id": "2021000000000009"}),
            msgspec.structs.replace(
                account, id="other-merchant", identity={**identity, "seller_id": "2088" + "1" * 12}
            ),
        )

    def says(self, about: About) -> Said | None:
        if about.call is None:
            fields = noticed(about)
            return None if fields is None else Said(alipay.form(fields))
        sub_code = REFUSED.get((about.call, about.fact))
        if sub_code:
            content = {"code": "40004", "msg": "Business Failed", "sub_code": sub_code, "out_trade_no": traded(about)}
            return Said(alipay.text_of(content))
        fields = answered(about)
        return None if fields is None else Said(alipay.text_of({"code": "10000", "msg": "Success", **fields}))

    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        key = ALIPAY_KEY if seal == "genuine" else APP_KEY
        if about.call is None:
            if seal == "none":
                return {}, said.content + b"&sign_type=RSA2"
            try:
                fields = dict(parse_qsl(said.content.decode(), keep_blank_values=True, errors="strict"))
                return {}, alipay.notified(fields, key=key)
            except ValueError:
                return {}, said.content
        if seal == "none":
            return {}, alipay.unsigned(about.call, said.content).body
        serial = SERIAL if self.account.settings.get("app_cert") else ""
        return {}, alipay.answered(about.call, said.content, key=key, serial=serial).body


def traded(about: About) -> str:
    return about.attempt.of or about.attempt.no


def answered(about: About) -> dict[str, Any] | None:
    """What is told of a success."""
    attempt, named = about.attempt, {"out_trade_no": traded(about), "trade_no": alipay.TRADE_NO}
    amount = decimal_text(attempt.minor, "CNY")
    match about.call, about.fact:
        case Call.PREPAY, Fact.PENDING:
            return {"out_trade_no": attempt.no, "qr_code": "https://qr.alipay.com/bavh4wjlxf12tper3a"}
        case Call.QUERY, Fact.PENDING | Fact.MOVED | Fact.OVER:
            return named | {"trade_status": STATES[about.fact], "total_amount": amount}
        case Call.CLOSE, Fact.OVER:
            return named
        case Call.CANCEL, Fact.ABSENT | Fact.OVER | Fact.MOVED:
            action = {Fact.ABSENT: {}, Fact.OVER: {"action": "close"}, Fact.MOVED: {"action": "refund"}}[about.fact]
            return named | {"retry_flag": "N"} | action
        case Call.REFUND, Fact.PENDING:
            return named | {"fund_change": "Y", "refund_fee": amount}
        case Call.QUERY_REFUND, Fact.MOVED:
            told = {"out_request_no": attempt.no, "refund_amount": amount, "refund_status": "REFUND_SUCCESS"}
            return named | told
    return None


def noticed(about: About) -> dict[str, str] | None:
    """What a notification tells."""
    identity = dict(about.account.identity)
    if about.paying is None and about.fact in STATES:
        amount = decimal_text(about.attempt.minor, "CNY")
        fields = alipay.PAID | {"out_trade_no": about.attempt.no, "total_amount": amount} | identity
        fields["trade_status"] = STATES[about.fact]
        return fields if about.fact is Fact.MOVED else {k: v for k, v in fields.items() if k != "gmt_payment"}
    if about.paying is not None and about.fact is Fact.PENDING:
        told = {"out_trade_no": about.attempt.of, "out_biz_no": about.attempt.no, "trade_no": about.paying.trade_no}
        amounts = {
            "total_amount": decimal_text(about.paying.minor, "CNY"),
            "refund_fee": decimal_text(about.attempt.minor, "CNY"),
        }
        return alipay.PARTLY_BACK | told | amounts | identity
    return None


@pytest.mark.parametrize("account", [ACCOUNT, CERTIFIED], ids=["keys", "certificates"])
def test_alipay_is_a_channel(account: Account) -> None:
    exercise_channel(Alipay, AlipayKit(account))
