"""Somebody else's SDK, python-alipay-sdk, against the sandbox, unmodified but for its gateway's address. (The official
one has the same module name, so that the two cannot live in one environment.)"""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from alipay import AliPay, DCAliPay
from alipay.exceptions import AliPayException

from oncepay.sandbox.main import Sandbox
from tests.sandbox.alipay_merchant import AliMerchant
from tests.sandbox.merchant import Receiver

# python-alipay-sdk reads certificates by an interface that pyOpenSSL wants to drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def build(block: dict[str, Any], notify_url: str, mode: str) -> Any:
    common = {
        "appid": block["app_id"],
        "app_notify_url": notify_url,
        "app_private_key_string": block["app_private_key_pem"],
    }
    if mode == "key":
        sdk = AliPay(**common, alipay_public_key_string=block["alipay_public_key_pem"])
    else:
        sdk = DCAliPay(
            **common,
            app_public_key_cert_string=block["app_cert_pem"],
            alipay_public_key_cert_string=block["alipay_cert_pem"],
            alipay_root_cert_string=block["alipay_root_cert_pem"],
        )
    sdk._gateway = block["gateway_url"]
    return sdk


@pytest.mark.parametrize("mode", ["key", "certificate"])
async def test_a_whole_life_by_python_alipay_sdk(
    sandbox: Sandbox, ali: AliMerchant, receiver: Receiver, mode: str
) -> None:
    receiver.answer = "success"
    sandbox.switches.alipay.mode = "key" if mode == "key" else "certificate"
    sandbox.switches.alipay.closed_notices = "all"
    sdk = build(ali.block, receiver.url, mode)

    async def ask(call: Callable[..., Any], *values: Any, **named: Any) -> Any:
        return await asyncio.to_thread(call, *values, **named)

    made = await ask(sdk.api_alipay_trade_precreate, "测试商品", "SDK_0001", "12.34")
    assert made["qr_code"].startswith("https://qr.alipay.com/")
    assert (await ask(sdk.api_alipay_trade_query, "SDK_0001"))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    sandbox.pay(made["qr_code"])
    found = await ask(sdk.api_alipay_trade_query, "SDK_0001")
    assert (found["trade_status"], found["total_amount"]) == ("TRADE_SUCCESS", "12.34")
    assert (await ask(sdk.api_alipay_trade_close, "SDK_0001"))["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    refunded = await ask(sdk.api_alipay_trade_refund, "2.34", "SDK_0001", out_request_no="R1")
    assert (refunded["fund_change"], refunded["refund_fee"]) == ("Y", "2.34")
    known = await ask(sdk.api_alipay_trade_fastpay_refund_query, "R1", out_trade_no="SDK_0001")
    assert known["refund_status"] == "REFUND_SUCCESS"

    product = {"timeout_express": "30m"}
    page = sdk.api_alipay_trade_page_pay("page", "SDK_0002", 0.01, return_url="http://shop.test/back", **product)
    assert sandbox.pay(f"{ali.block['gateway_url']}?{page}")["amount"] == 1
    assert (await ask(sdk.api_alipay_trade_cancel, "SDK_0002"))["action"] == "refund"
    wap = sdk.api_alipay_trade_wap_pay("wap", "SDK_0003", "1.00")
    assert sandbox.pay(f"{ali.block['gateway_url']}?{wap}")["amount"] == 100
    order_string = sdk.api_alipay_trade_app_pay("app", "SDK_0004", "1.00")
    assert sandbox.pay(order_string)["number"] == "SDK_0004"

    await sandbox.settle()
    assert len(receiver.got) == 6  # four payments, a partial refund, a full one
    for got in receiver.got:
        told = dict(parse_qsl(got.body.decode(), keep_blank_values=True))
        sign = told.pop("sign")
        assert sdk.verify(dict(told), sign)
        assert not sdk.verify(told | {"total_amount": "0.02"}, sign)

    sdk._appid = "2021000000000002"
    with pytest.raises(AliPayException, match=r"isv\.invalid-app-id"):
        await ask(sdk.api_alipay_trade_query, "SDK_0001")


async def test_serials_as_the_sdk_computes_them(sandbox: Sandbox, ali: AliMerchant) -> None:
    sdk = build(ali.block, "", "certificate")
    assert sdk.app_cert_sn == ali.block["app_cert_sn"]
    assert sdk.alipay_root_cert_sn == ali.block["alipay_root_cert_sn"]
    assert sdk.get_cert_sn(ali.block["alipay_cert_pem"]) == ali.block["alipay_cert_sn"]
    fresh = Sandbox().config["alipay"]
    assert build(fresh, "", "certificate").alipay_root_cert_sn == fresh["alipay_root_cert_sn"]
