"""The vendors' sides of our own channels, for the exercise: what each of them says, and how it is sealed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from oncepay.domain.attempt import Call, Fact
from oncepay.domain.money import decimal_text
from oncepay.ports import Account
from oncepay.testing import About, ChannelKit, Said, Seal
from tests.channels import alipay_kit as alipay
from tests.channels import unionpay_kit as unionpay
from tests.channels import wechat_kit as wechat

BEIJING: Final = timedelta(hours=8)


def said(content: object, status: int = 200) -> Said:
    return Said(json.dumps(content, ensure_ascii=False).encode(), status)


def another(account: Account, **identity: str) -> Account:
    """Somebody else at the same vendor."""
    return msgspec.structs.replace(account, id="-".join(identity), identity={**account.identity, **identity})


class WechatKit(ChannelKit):
    """WeChat Pay's side: bodies in JSON, signed in the headers; notifications sealed once more."""

    account = wechat.ACCOUNT
    others = (another(account, mchid="1900000001"), another(account, appid="wx9999999999999999"))
    now_ms = wechat.NOW_MS
    payers: Mapping[str, Mapping[str, str]] = {
        "jsapi": {"openid": "oTEST-0000000000000000000001"},
        "h5": {"client_ip": "203.0.113.7"},
    }

    def says(self, about: About) -> Said | None:
        match about.call, about.fact:
            case Call.PREPAY, Fact.PENDING:
                return said({"code_url": "weixin://wxpay/bizpayurl?pr=1", "h5_url": "https://wx/1", "prepay_id": "wx1"})
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
            case ((Call.QUERY | Call.REFUND | Call.QUERY_REFUND), (Fact.PENDING | Fact.MOVED | Fact.OVER)):
                return said(self._refund(about) if about.paying else self._trade(about))
            case None, (Fact.MOVED | Fact.OVER) if about.paying or about.fact is Fact.MOVED:
                return said(self._refund(about) if about.paying else self._trade(about))
        return None

    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        body = said.content
        if about.call is None:
            kind = "refund" if about.paying else "transaction"
            body = wechat.notified(body, event=f"{kind.upper()}.SUCCESS", original=kind)
        if seal == "none":
            return {"content-type": "application/json"}, body
        return wechat.headers(body, key=wechat.PLATFORM_KEY if seal == "genuine" else wechat.PUBLIC_KEY), body

    def _trade(self, about: About) -> dict[str, Any]:
        attempt = about.attempt
        state = {Fact.PENDING: "NOTPAY", Fact.MOVED: "SUCCESS", Fact.OVER: "CLOSED"}[about.fact]
        amount = {"total": attempt.minor, "currency": attempt.currency}
        return wechat.trade(state, out_trade_no=attempt.no, amount=amount, **about.account.identity)

    def _refund(self, about: About) -> dict[str, Any]:
        attempt = about.attempt
        state = {Fact.PENDING: "PROCESSING", Fact.MOVED: "SUCCESS", Fact.OVER: "CLOSED"}[about.fact]
        amount: dict[str, Any] = {"refund": attempt.minor, "currency": attempt.currency}
        fields: dict[str, Any] = {"out_refund_no": attempt.no, "out_trade_no": attempt.of, "amount": amount}
        if about.call is None:  # a notification names the merchant and no currency, and has another word for the state
            del amount["currency"]
            fields |= {"mchid": about.account.identity["mchid"], "refund_status": state}
        return wechat.refund_told(state, **fields)


class AlipayKit(ChannelKit):
    """Alipay's side: a piece of a JSON text is signed, or the fields of a form. All amounts in yuan, no currency."""

    account = alipay.ACCOUNT
    others = (another(account, app_id="2021000000000002"), another(account, seller_id="2088000000000002"))
    now_ms = alipay.NOW_MS

    def says(self, about: About) -> Said | None:
        attempt = about.attempt
        trade = {"out_trade_no": attempt.of or attempt.no, "trade_no": alipay.TRADE_NO}
        match about.call, about.fact:
            case Call.PREPAY, Fact.PENDING:
                return self._done(out_trade_no=attempt.no, qr_code="https://qr.alipay.com/bax1")
            case Call.PREPAY, Fact.OVER:
                return self._failed("ACQ.INVALID_PARAMETER")
            case ((Call.QUERY | Call.CLOSE), Fact.ABSENT):
                return self._failed("ACQ.TRADE_NOT_EXIST")
            case Call.QUERY, (Fact.PENDING | Fact.MOVED | Fact.OVER):
                return self._done(**self._trade(about))
            case Call.CLOSE, Fact.OVER:
                return self._done(**trade)
            case Call.CANCEL, (Fact.ABSENT | Fact.OVER | Fact.MOVED):
                action = {Fact.OVER: {"action": "close"}, Fact.MOVED: {"action": "refund"}}.get(about.fact, {})
                return self._done(**trade, retry_flag="N", **action)
            case Call.REFUND, Fact.PENDING:  # all that went back so far of the trade, and no number of the refund's
                return self._done(**trade, fund_change="Y", refund_fee="88.00")
            case Call.REFUND, Fact.OVER:
                return self._failed("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
            case Call.QUERY_REFUND, Fact.ABSENT:
                return self._done()
            case Call.QUERY_REFUND, Fact.MOVED:
                amount = decimal_text(attempt.minor, "CNY")
                fields = {"out_request_no": attempt.no, "refund_status": "REFUND_SUCCESS", "refund_amount": amount}
                return self._done(**trade, **fields)
            case None, (Fact.PENDING | Fact.MOVED | Fact.OVER) if not about.paying or about.fact is Fact.PENDING:
                return Said(urlencode(self._notice(about)).encode())
        return None

    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        key = alipay.ALIPAY_KEY if seal == "genuine" else alipay.APP_KEY
        if about.call is None:
            body = said.content if seal == "none" else self._signed(said.content, key)
            return {"content-type": "application/x-www-form-urlencoded"}, body
        call, content = about.call, said.content
        answer = alipay.unsigned(call, content) if seal == "none" else alipay.answered(call, content, key=key)
        return answer.headers, answer.body

    def _signed(self, form: bytes, key: Any) -> bytes:
        """The form and its signature, whatever the form is."""
        fields = dict(parse_qsl(form.decode(errors="replace"), keep_blank_values=True, errors="replace"))
        sign = alipay.signature(alipay.string_to_sign(fields), key)
        return form + b"&" + urlencode({"sign_type": "RSA2", "sign": sign}).encode()

    def _trade(self, about: About) -> dict[str, str]:
        state = {Fact.PENDING: "WAIT_BUYER_PAY", Fact.MOVED: "TRADE_SUCCESS", Fact.OVER: "TRADE_CLOSED"}[about.fact]
        told = {"out_trade_no": about.attempt.no, "trade_no": alipay.TRADE_NO, "trade_status": state}
        return {**told, "total_amount": decimal_text(about.attempt.minor, "CNY")}

    def _notice(self, about: About) -> dict[str, str]:
        common = {**alipay.PAID, **about.account.identity}
        if about.paying is None:
            if about.fact is not Fact.MOVED:
                del common["gmt_payment"]
            return {**common, **self._trade(about)}
        paying, attempt = about.paying, about.attempt
        total, back = decimal_text(paying.minor, "CNY"), decimal_text(attempt.minor, "CNY")
        told = {"out_trade_no": attempt.of, "out_biz_no": attempt.no, "trade_no": paying.trade_no}
        return {**common, **told, "total_amount": total, "refund_fee": back, "gmt_refund": "2026-03-02 10:05:12"}

    def _done(self, **fields: str) -> Said:
        return said({"code": "10000", "msg": "Success", **fields})

    def _failed(self, sub_code: str) -> Said:
        return said({"code": "40004", "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "为什么"})


class UnionpayKit(ChannelKit):
    """UnionPay's side: fields in a row, signed with the certificate that stands among them."""

    account = unionpay.ACCOUNT
    others = (another(account, merId="777290058110049"),)
    now_ms = unionpay.NOW_MS

    def says(self, about: About) -> Said | None:
        incoming = about.paying is None
        match about.call, about.fact:
            case Call.PREPAY, Fact.PENDING:
                return self._fields(about, respCode="00", qrCode="https://qr.95516.com/1", tn="123456789012345678901")
            case ((Call.PREPAY | Call.REFUND), Fact.OVER):
                return self._fields(about, respCode="10")
            case Call.REFUND, Fact.PENDING:
                return self._fields(
                    about, respCode="00", txnAmt=str(about.attempt.minor), queryId="312603021005101005678"
                )
            case ((Call.QUERY | Call.QUERY_REFUND), Fact.ABSENT):
                return self._fields(about, respCode="34")
            case ((Call.QUERY | Call.QUERY_REFUND), (Fact.PENDING | Fact.MOVED | Fact.OVER)):
                code = {Fact.PENDING: "05", Fact.MOVED: "00", Fact.OVER: "01"}[about.fact]
                return self._fields(about, respCode="00", origRespCode=code, **self._money(about))
            case None, (Fact.MOVED | Fact.OVER) if about.fact is Fact.MOVED or not incoming:
                code = {Fact.MOVED: "00", Fact.OVER: "01"}[about.fact]
                echo = b64encode(f"shop:A-1001{about.attempt.of and ':' + about.attempt.of}".encode()).decode()
                settled = {"settleAmt": str(about.attempt.minor), "settleDate": "0302", "traceNo": "100567"}
                return self._fields(about, respCode=code, reqReserved=echo, **self._money(about), **settled)
        return None

    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        fields = dict(pair.partition("=")[::2] for pair in said.content.decode(errors="replace").split("&"))
        if seal != "none":
            key = unionpay.UNIONPAY_KEY if seal == "genuine" else unionpay.FOREIGN_KEY
            certified = {**fields, "signPubKeyCert": unionpay.UNIONPAY_CERTIFICATE}
            fields = {**certified, "signature": unionpay.signature(certified, key)}
        return {}, urlencode(fields).encode() if about.call is None else unionpay.plain(fields)

    def _fields(self, about: About, **fields: str) -> Said:
        attempt = about.attempt
        time = datetime.fromtimestamp(attempt.created_ms // 1000, UTC) + BEIJING
        told = unionpay.told(attempt, txnTime=f"{time:%Y%m%d%H%M%S}", merId=about.account.identity["merId"], **fields)
        return Said(unionpay.plain(told))

    def _money(self, about: About) -> dict[str, str]:
        attempt = about.attempt
        currency = {"CNY": "156", "USD": "840"}[attempt.currency]
        return {"txnAmt": str(attempt.minor), "currencyCode": currency, "queryId": unionpay.QUERY_ID}
