"""Our own channels are held to what every channel is held to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from oncepay.channels.wechat import WechatPay
from oncepay.domain.attempt import Call, Fact
from oncepay.testing import About, ChannelKit, Said, Seal, exercise_channel
from tests.channels import wechat_kit as wechat
from tests.channels.wechat_kit import ACCOUNT, APPID, MCHID


class WechatKit(ChannelKit):
    """WeChat Pay's side."""

    account = ACCOUNT
    others = (
        msgspec.structs.replace(ACCOUNT, id="another-merchant", identity={"mchid": "1900000001", "appid": APPID}),
        msgspec.structs.replace(ACCOUNT, id="another-app", identity={"mchid": MCHID, "appid": "wx9999999999999999"}),
    )
    now_ms = wechat.NOW_MS
    payers: Mapping[str, Mapping[str, str]] = {
        "jsapi": {"openid": "oTEST-0000000000000000000001"},
        "h5": {"client_ip": "203.0.113.7"},
    }

    def says(self, about: About) -> Said | None:
        match about.call, about.fact:
            case Call.PREPAY, Fact.PENDING:
                return said(
                    {"code_url": "weixin://wxpay/bizpayurl?pr=1", "h5_url": "https://wx.example/1", "prepay_id": "wx1"}
                )
            case Call.PREPAY, Fact.OVER:
                return said({"code": "PARAM_ERROR"}, 400)
            case ((Call.QUERY | Call.CLOSE), Fact.ABSENT):
                return said({"code": "ORDER_NOT_EXIST"}, 404)
            case Call.CLOSE, Fact.OVER:
                return Said(b"", 204)
            case Call.REFUND, Fact.OVER:
                return said({"code": "TRADE_OVERDUE"}, 400)
            case Call.QUERY_REFUND, Fact.ABSENT:
                return said({"code": "RESOURCE_NOT_EXISTS"}, 404)
            case None | Call.QUERY | Call.REFUND | Call.QUERY_REFUND, Fact.PENDING | Fact.MOVED | Fact.OVER:
                return None if about.call is None and about.fact is Fact.PENDING else said(told(about))
        return None

    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        body = said.content
        if about.call is None:
            kind = "refund" if about.paying else "transaction"
            body = wechat.notified(body, event=f"{kind.upper()}.SUCCESS", original=kind)
        if seal == "none":
            return {"content-type": "application/json"}, body
        return wechat.headers(body, key=wechat.PLATFORM_KEY if seal == "genuine" else wechat.PUBLIC_KEY), body


def said(content: object, status: int = 200) -> Said:
    return Said(json.dumps(content).encode(), status)


def told(about: About) -> dict[str, Any]:
    """Of an order or a refund, as it stands."""
    attempt, identity = about.attempt, about.account.identity
    if about.paying is None:
        state = {Fact.PENDING: "NOTPAY", Fact.MOVED: "SUCCESS", Fact.OVER: "CLOSED"}[about.fact]
        amount = {"total": attempt.minor, "currency": attempt.currency}
        return wechat.trade(state, out_trade_no=attempt.no, amount=amount, **identity)
    state = {Fact.PENDING: "PROCESSING", Fact.MOVED: "SUCCESS", Fact.OVER: "CLOSED"}[about.fact]
    back: dict[str, Any] = {"refund": attempt.minor, "total": about.paying.minor, "currency": attempt.currency}
    fields: dict[str, Any] = {"out_refund_no": attempt.no, "out_trade_no": attempt.of, "amount": back}
    if about.call is None:  # a notification names the merchant and no currency, and has another word for the state
        del back["currency"]
        fields |= {"mchid": identity["mchid"], "refund_status": state}
    return wechat.refund_told(state, **fields)


def test_wechat_pay_is_a_channel() -> None:
    exercise_channel(WechatPay, WechatKit())
