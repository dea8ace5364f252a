"""Somebody else's SDK against the sandbox: wechatpayv3, unmodified but for its host.

The SDK is synchronous, so it runs in a thread while the sandbox serves on this loop. Its host is an
attribute of its core; in certificate mode it downloads certificates while it is being built, so
the host is then given by a Core of which only that attribute differs.
"""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import wechatpayv3
import wechatpayv3.core
from wechatpayv3 import WeChatPay, WeChatPayType

from oncepay.sandbox.main import Sandbox
from tests.sandbox.merchant import Receiver

PRODUCTS = {
    "native": WeChatPayType.NATIVE,
    "jsapi": WeChatPayType.JSAPI,
    "h5": WeChatPayType.H5,
    "app": WeChatPayType.APP,
}
GIVES = {"native": "code_url", "jsapi": "prepay_id", "h5": "h5_url", "app": "prepay_id"}


@contextmanager
def host(url: str) -> Iterator[None]:
    """While the SDK is built: its gateway is ``url``, and nothing else is changed."""

    class Core(wechatpayv3.core.Core):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, url if name == "_gate_way" else value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wechatpayv3.core, "Core", Core)
        yield


def build(block: dict[str, Any], notify_url: str, mode: str) -> Any:
    public = {"public_key": block["public_key_pem"], "public_key_id": block["public_key_id"]}
    with host(block["base_url"]):
        return WeChatPay(
            wechatpay_type=WeChatPayType.NATIVE,
            mchid=block["mchid"],
            private_key=block["merchant_private_key_pem"],
            cert_serial_no=block["merchant_serial_no"],
            appid=block["appid"],
            apiv3_key=block["apiv3_key"],
            notify_url=notify_url,
            **(public if mode == "public_key" else {}),
        )


@pytest.fixture(params=["certificate", "public_key"])
async def sdk(request: pytest.FixtureRequest, sandbox: Sandbox, receiver: Receiver) -> Any:
    sandbox.switches.notify_key = request.param
    return await asyncio.to_thread(build, sandbox.config["wechat"], receiver.url, request.param)


@pytest.mark.parametrize("product", PRODUCTS)
async def test_the_sdk_plays_an_orders_whole_life(sdk: Any, sandbox: Sandbox, receiver: Receiver, product: str) -> None:
    number = f"SDK{product}001"
    more: dict[str, Any] = {"pay_type": PRODUCTS[product]}
    if product == "jsapi":
        more["payer"] = {"openid": "oPAYER"}
    if product == "h5":
        more["scene_info"] = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}

    status, body = await asyncio.to_thread(sdk.pay, "测试商品", number, {"total": 1234, "currency": "CNY"}, **more)
    assert (status, list(json.loads(body))) == (200, [GIVES[product]])
    status, body = await asyncio.to_thread(sdk.query, out_trade_no=number)
    assert (status, json.loads(body)["trade_state"]) == (200, "NOTPAY")

    paid = sandbox.pay(json.loads(body)["out_trade_no"])
    await sandbox.settle()
    [told] = receiver.got
    content = await asyncio.to_thread(sdk.callback, told.headers, told.body)
    assert content["event_type"] == "TRANSACTION.SUCCESS"
    assert content["resource"]["transaction_id"] == paid["transaction_id"]
    status, body = await asyncio.to_thread(sdk.query, transaction_id=paid["transaction_id"])
    assert (status, json.loads(body)["trade_state"]) == (200, "SUCCESS")

    amount = {"refund": 234, "total": 1234, "currency": "CNY"}
    status, body = await asyncio.to_thread(sdk.refund, f"{number}R", amount, out_trade_no=number, reason="测试")
    assert (status, json.loads(body)["status"]) == (200, "PROCESSING")
    sandbox.advance(60)
    await sandbox.settle()
    content = await asyncio.to_thread(sdk.callback, receiver.got[1].headers, receiver.got[1].body)
    assert (content["event_type"], content["resource"]["refund_status"]) == ("REFUND.SUCCESS", "SUCCESS")
    status, body = await asyncio.to_thread(sdk.query_refund, f"{number}R")
    assert (status, json.loads(body)["status"]) == (200, "SUCCESS")


async def test_the_sdk_closes(sdk: Any, sandbox: Sandbox) -> None:
    await asyncio.to_thread(sdk.pay, "测试商品", "SDKCLOSE1", {"total": 1, "currency": "CNY"})
    status, _ = await asyncio.to_thread(sdk.close, "SDKCLOSE1")
    assert status == 204
    status, body = await asyncio.to_thread(sdk.query, out_trade_no="SDKCLOSE1")
    assert (status, json.loads(body)["trade_state"]) == (200, "CLOSED")


async def test_the_sdk_follows_a_new_platform_certificate(sdk: Any, sandbox: Sandbox, receiver: Receiver) -> None:
    await asyncio.to_thread(sdk.pay, "测试商品", "SDKROTATE", {"total": 1, "currency": "CNY"})
    serial = sandbox.wechat.rotate()
    status, _ = await asyncio.to_thread(sdk.query, out_trade_no="SDKROTATE")
    assert status == 200
    assert sandbox.config["wechat"]["platform_serial_no"] == serial


async def test_the_sdk_fetches_a_bill(sdk: Any, sandbox: Sandbox) -> None:
    await asyncio.to_thread(sdk.pay, "测试商品", "SDKBILL01", {"total": 1234, "currency": "CNY"})
    sandbox.pay("SDKBILL01")
    sandbox.switches.bill_ready_hour = 0
    # The SDK stamps its requests with the real time, so the order is moved to yesterday instead.
    order = sandbox.wechat.desk.books.find("SDKBILL01")
    assert order is not None
    assert order.paid is not None
    order.paid -= 86400
    bill_date = str(sandbox.books("SDKBILL01")[0].paid_at)[:10]
    status, body = await asyncio.to_thread(sdk.trade_bill, bill_date)
    assert status == 200
    offered = json.loads(body)
    status, packed = await asyncio.to_thread(sdk.download_bill, offered["download_url"])
    assert status == 200
    raw = gzip.decompress(packed)
    assert hashlib.sha1(raw).hexdigest() == offered["hash_value"]
    assert "SDKBILL01" in raw.decode("utf-8-sig")


async def test_a_probe_and_a_forged_answer_are_refused_by_the_sdk(sdk: Any, sandbox: Sandbox) -> None:
    for fault in ("signtest_response", "forged_200"):
        sandbox.faults.replace({"once": [{"fault": fault, "how": "other"}]})
        with pytest.raises(Exception, match="failed to verify"):
            await asyncio.to_thread(sdk.pay, "测试商品", f"SDK{fault}", {"total": 1, "currency": "CNY"})
