"""Alipay's keys and trades at home, and what the controls and the front page tell of it."""

import json
import re
from pathlib import Path

import aiohttp
import pytest

from oncepay.sandbox.alipay import trades
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.alipay_merchant import AliMerchant
from tests.sandbox.alipay_vectors import vector_keys
from tests.sandbox.merchant import Merchant, Receiver
from tests.sandbox.vectors import vector_keys as wechat_keys


async def test_a_restart_keeps_what_is_offered_owed_and_still_to_be_told(
    tmp_path: Path, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    async with Sandbox(home=tmp_path, keys=wechat_keys(), alipay_keys=vector_keys()) as first:
        ali = AliMerchant(first.config["alipay"], session, clock=first.clock.now, notify_url=receiver.url)
        await ali.precreate("HOME_001")
        first.pay("HOME_001")
        await first.settle()
        code = (await ali.precreate("HOME_002"))["qr_code"]
        url = ali.page("HOME_003", timeout_express="30m")
        trades.log_in(first.alipay.desk, first.alipay.opened(url))
        first.faults.replace({"once": [{"fault": "refund_late", "seconds": 60}]})
        await ali.refund("HOME_001", "R1", "2.34")
        await ali.refund("HOME_001", "R2", "1.00")
        await first.settle()
        before, net = first.books(), first.alipay.desk.books.net(ali.block["seller_id"])
        trade_no = first.books("HOME_003")[0].transaction_id
        assert len(receiver.got) == 2
    receiver.answer = "success"
    async with Sandbox(home=tmp_path) as second:  # keys from home
        assert second.config["alipay"]["app_private_key_pem"] == ali.block["app_private_key_pem"]
        assert second.books() == before
        assert second.alipay.desk.books.net(ali.block["seller_id"]) == net
        ali = AliMerchant(second.config["alipay"], session, clock=second.clock.now)
        assert str(second.pay(code)["transaction_id"]) > str(trade_no)  # numbering goes on
        second.advance(1800)
        await second.settle()
        numbers = [ali.told(got).get("out_biz_no", "paid") for got in receiver.got[2:]]
        assert sorted(numbers) == ["R1", "R2", "paid", "paid"]  # both again, what was on its way, and the new one
        assert (await ali.query_refund("HOME_001", "R1"))["refund_status"] == "REFUND_SUCCESS"
        assert (await ali.query("HOME_003"))["trade_status"] == "TRADE_CLOSED"
        assert second.books("R1")[0].refunded == 334


async def test_sandbox_json_has_what_an_integration_needs(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with Sandbox(home=tmp_path, keys=wechat_keys()) as sandbox:
        block = json.loads((tmp_path / "sandbox.json").read_text("utf-8"))["alipay"]
        assert block == sandbox.config["alipay"]
        assert set(block) == {
            "gateway_url", "app_id", "seller_id", "seller_email", "app_private_key_pem", "app_public_key_pem",
            "alipay_public_key_pem", "app_cert_pem", "alipay_cert_pem", "alipay_root_cert_pem", "app_cert_sn",
            "alipay_cert_sn", "alipay_root_cert_sn", "account",
        }  # fmt: skip
        assert block["gateway_url"] == f"{sandbox.base_url}/gateway.do"
        assert re.fullmatch(r"2088\d{12}", block["seller_id"])
        for certified in (False, True):
            ali = AliMerchant(block, session, certified=certified)
            assert (await ali.precreate("JSON_001")).genuine


def test_keys_are_made_when_they_are_needed() -> None:
    """A sandbox for WeChat Pay alone does not pay for Alipay's keys."""
    sandbox = Sandbox(keys=wechat_keys())
    assert sandbox.books() == []
    assert list(sandbox.alipay.lines()) == []
    assert sandbox.alipay._desk is None
    with pytest.raises(Refused, match="no order"):
        sandbox.pay("NOBODY")
    assert sandbox.alipay._desk is None


async def test_the_front_page_and_the_books_are_common(sandbox: Sandbox, ali: AliMerchant, merchant: Merchant) -> None:
    await merchant.prepay("FRONT_01")
    sandbox.advance(10)
    name = "<script>alert(1)<"
    await ali.precreate("FRONT_02", subject=name)
    sandbox.pay("FRONT_02")
    await ali.refund("FRONT_02", "R1", "1.00")
    async with ali.session.get(sandbox.base_url) as answer:
        page = await answer.text()
    assert name not in page
    assert page.index("FRONT_02") < page.index("FRONT_01")  # newest first
    assert "refunded" in page
    link = re.search(r'href="(/alipay/cashier/[^"]+)"', page)
    assert link is not None
    async with ali.session.get(sandbox.base_url + link[1]) as answer:
        shown = await answer.text()
    assert "R1" in shown
    assert name not in shown
    for form, first in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        async with ali.session.get(f"{sandbox.base_url}{link[1]}/qr.{form}") as answer:
            assert (await answer.read()).startswith(first)
    for wrong in (f"{link[1]}/qr.gif", "/alipay/cashier/NOSUCH"):
        async with ali.session.get(sandbox.base_url + wrong) as answer:
            assert answer.status == 404
    async with ali.session.get(f"{sandbox.base_url}/sandbox/books") as answer:
        rows = (await answer.json())["orders"]
    assert [(row["channel"], row["number"], row["refunded"]) for row in rows] == [
        ("wechat", "FRONT_01", 0),
        ("alipay", "FRONT_02", 100),
    ]
    since = sandbox.clock.now() - 5
    async with ali.session.get(f"{sandbox.base_url}/sandbox/books?since={since}") as answer:
        assert [row["number"] for row in (await answer.json())["orders"]] == ["FRONT_02"]


async def test_switches_of_alipay_over_http(sandbox: Sandbox, ali: AliMerchant) -> None:
    url = f"{sandbox.base_url}/sandbox/switches"
    async with ali.session.put(url, json={"alipay": {"mode": "certificate"}}) as answer:
        told = await answer.json()
    assert (told["alipay"]["mode"], told["alipay"]["closed_notices"]) == ("certificate", "wap_app")
    assert (await ali.query("X")).code == "isv.missing-app-cert-sn"
    async with ali.session.put(url, json={"alipay": {"mode": "none"}}) as answer:
        assert answer.status == 400


async def test_what_was_told_says_by_whom(sandbox: Sandbox, ali: AliMerchant, receiver: Receiver) -> None:
    ali.notify_url = receiver.url
    sandbox.pay(ali.page("TOLD_001"))
    await sandbox.settle()
    async with ali.session.get(f"{sandbox.base_url}/sandbox/notifications?number=TOLD_001") as answer:
        [notice] = (await answer.json())["notifications"]
    assert (notice["channel"], notice["tries"], notice["taken"]) == ("alipay", 1, False)


@pytest.mark.parametrize("back", ["javascript:alert(1)", "http://a b.test/", "//shop.test"])
async def test_a_page_leads_to_no_strange_address(ali: AliMerchant, back: str) -> None:
    ali.return_url = back
    async with ali.session.get(ali.page("BACK_001")) as answer:
        assert "ACQ.INVALID_PARAMETER" in (await answer.read()).decode("gbk")


async def test_a_return_address_cannot_loosen_the_pages_policy(ali: AliMerchant) -> None:
    ali.return_url = "http://shop.test;script-src*/back"
    async with ali.session.get(ali.page("BACK_001")) as answer:
        assert "script-src" not in answer.headers["Content-Security-Policy"]
