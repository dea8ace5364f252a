"""Other people's SDKs against the sandbox, unmodified but for their gateway's address.

python-alipay-sdk is installed with the tests. The official alipay-sdk-python has the same module name, so that the two
cannot live in one environment: make puts it into a folder of its own, and it runs in a process of its own.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from alipay import AliPay, DCAliPay
from alipay.exceptions import AliPayException
from cryptography.hazmat.primitives import serialization

from oncepay.sandbox.main import Sandbox
from tests.sandbox.alipay_merchant import AliMerchant
from tests.sandbox.merchant import Receiver, rsa_key

# python-alipay-sdk reads certificates by an interface that pyOpenSSL wants to drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
OFFICIAL = Path(sys.prefix) / "alipay-sdk-python"


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


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"{OFFICIAL} is missing: run the tests by make, which makes it")
async def test_a_whole_life_by_the_official_sdk(sandbox: Sandbox, ali: AliMerchant, receiver: Receiver) -> None:
    """Call, page, form and order string; then it judges the notices."""
    receiver.answer = "success"
    said = {
        "base_url": sandbox.base_url,
        "notify_url": receiver.url,
        "block": ali.block,
        "private_key": bare(pkcs1(ali.block["app_private_key_pem"])),
        "public_key": bare(ali.block["alipay_public_key_pem"]),
    }
    told = await official(said)
    assert told["absent"]["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert told["query"]["trade_status"] == "TRADE_SUCCESS"
    assert (told["refund"]["fund_change"], told["refund"]["refund_fee"]) == ("Y", "2.34")
    assert told["refund_query"]["refund_status"] == "REFUND_SUCCESS"
    assert told["close"]["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    assert [row.number for row in sandbox.books() if row.paid] == ["OFFICIAL1", "OFFICIAL2", "OFFICIAL3", "OFFICIAL4"]
    await sandbox.settle()
    assert len(receiver.got) == 5
    notices = [dict(parse_qsl(got.body.decode())) for got in receiver.got]
    wrong = [notices[0] | {"total_amount": "0.01"}]
    assert await official(said | {"notices": notices + wrong}) == {"genuine": [True] * 5 + [False]}


async def official(said: dict[str, Any]) -> Any:
    """What the official SDK makes of it, in a process where ``alipay`` is that one."""
    script = Path(__file__).with_name("alipay_official.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(OFFICIAL)},
    )  # fmt: skip
    told, _ = await asyncio.wait_for(process.communicate(json.dumps(said).encode()), 60)
    assert process.returncode == 0
    return json.loads(told)


def pkcs1(pem: str) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return rsa_key(pem).private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def bare(pem: str) -> str:
    """A key as Alipay's console shows it: base64 alone."""
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))
