"""Payments at UnionPay: a form, a tn, a QR code; tried, failed, paid, too late; and what a query says of it."""

import base64
import hashlib
import html
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from tests.sandbox.merchant import Receiver
from tests.sandbox.unionpay import BACK, FRONT, QUERY, Shop, problem, told

NUMBER = "PC20260301000001"


def as_a_browser_posts(page: str) -> dict[str, str]:
    """The hidden fields of a page. A browser reads every line end as LF, and sends every LF as CR LF."""
    found = re.findall(r'name="(\w+)" value="([^"]*)"', page.replace("\r\n", "\n"))
    return {name: html.unescape(value).replace("\n", "\r\n") for name, value in found}


async def later(sandbox: Sandbox, seconds: float) -> None:
    sandbox.advance(seconds)
    await sandbox.settle()


async def test_a_form_leads_to_a_cashier_and_is_paid_there(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    form = shop.form(NUMBER, riskRateInfo="{commodityName=咖啡 A+B}", reqReserved="cGF5MDAwMQ==")
    status, cashier, _ = await shop.open(form)
    assert (status, cashier.startswith(f"{sandbox.base_url}/unionpay/cashier/")) == (302, True)
    async with shop.session.get(cashier) as page:
        text = await page.text()
        assert "¥ 88.88" in text
        assert "咖啡 A+B" in text
    async with shop.session.post(f"{cashier}/pay") as page:
        text = await page.text()
    assert f'action="{form["fields"]["frontUrl"]}"' in text
    brought = as_a_browser_posts(text)
    assert (brought["respCode"], brought["orderId"], brought["txnAmt"]) == ("00", NUMBER, "8888")
    assert problem(shop.block, brought, shop.clock()) == ""
    await sandbox.settle()
    [notice] = told(receiver)
    assert (notice["respCode"], notice["queryId"]) == ("00", brought["queryId"])
    assert problem(shop.block, notice, shop.clock()) == ""
    [row] = sandbox.books(NUMBER)
    assert (row.channel, row.state, row.amount, row.paid, row.refunded) == ("unionpay", "SUCCESS", 8888, 8888, 0)
    assert (row.method, row.transaction_id, row.attach) == ("front", notice["queryId"], "cGF5MDAwMQ==")


async def test_the_one_script_is_allowed_by_its_hash(sandbox: Sandbox, shop: Shop) -> None:
    _, cashier, _ = await shop.open(form := shop.form(NUMBER, orderDesc="<b>tea</b>"))
    sandbox.pay_for({"form": form})
    async with shop.session.get(f"{cashier}/return") as page:
        text, policy = await page.text(), page.headers["Content-Security-Policy"]
    [script] = re.findall(r"<script>(.*?)</script>", text)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    async with shop.session.get(cashier) as page:
        assert "&lt;b&gt;tea&lt;/b&gt;" in await page.text()
        assert "script-src" not in page.headers["Content-Security-Policy"]


async def test_people_find_their_way(sandbox: Sandbox, shop: Shop) -> None:
    await shop.qr(NUMBER)
    async with shop.session.get(sandbox.base_url) as page:
        [link] = re.findall(r'href="(/unionpay/cashier/\w+)"', await page.text())
    async with shop.session.get(f"{sandbox.base_url}{link}") as page:
        assert f'src="{link}/qr.svg"' in await page.text()
    async with shop.session.get(f"{sandbox.base_url}{link}/qr.svg") as picture:
        assert picture.content_type == "image/svg+xml"
    for missing in (f"{link}/qr.gif", "/unionpay/cashier/nothing"):
        async with shop.session.get(f"{sandbox.base_url}{missing}") as page:
            assert page.status == 404
    async with shop.session.get(f"{sandbox.base_url}{link}/return", allow_redirects=False) as page:
        assert page.status == 303  # nothing to bring back
    async with shop.session.post(f"{sandbox.base_url}{link}/pay") as page:
        assert page.status == 200
    async with shop.session.post(f"{sandbox.base_url}{link}/pay") as page:
        assert (page.status, "this order is paid" in await page.text()) == (409, True)


async def test_a_declined_card_is_told_to_nobody_and_another_may_pay(
    sandbox: Sandbox, shop: Shop, receiver: Receiver
) -> None:
    _, cashier, _ = await shop.open(form := shop.form(NUMBER))
    at = form["fields"]["txnTime"]
    async with shop.session.post(f"{cashier}/fail") as page:
        assert "余额不足" in await page.text()
    assert (await shop.query(NUMBER, at)).original == "64"
    assert sandbox.books(NUMBER)[0].state == "FAILED"
    await later(sandbox, 60)
    assert receiver.got == []
    async with shop.session.post(f"{cashier}/leave") as page:
        assert "left by the payer" in await page.text()
    sandbox.pay(NUMBER)
    await sandbox.settle()
    assert [notice["respCode"] for notice in told(receiver)] == ["00"]
    assert (await shop.query(NUMBER, at)).original == "00"


async def test_the_same_form_is_the_same_payment(sandbox: Sandbox, shop: Shop) -> None:
    form = shop.form(NUMBER)
    first, again = await shop.open(form), await shop.open(form)
    assert first[1] == again[1]
    sandbox.pay(NUMBER)
    assert (await shop.open(form))[1] == first[1]  # it says that it is paid
    other = shop.form(NUMBER, 8889, txnTime=form["fields"]["txnTime"])
    status, _, page = await shop.open(other)
    assert (status, "重复交易[2010002]" in page) == (200, True)


async def test_another_txn_time_is_another_payment(sandbox: Sandbox, shop: Shop) -> None:
    forms = [shop.form(NUMBER, txnTime=shop.time(-offset)) for offset in (60, 0)]
    cashiers = [(await shop.open(form))[1] for form in forms]
    assert cashiers[0] != cashiers[1]
    for cashier in cashiers:
        sandbox.pay_for({"number": cashier})
    assert [row.paid for row in sandbox.books(NUMBER)] == [8888, 8888]
    sandbox.switches.unionpay.other_time = "duplicate"
    _, _, page = await shop.open(shop.form(NUMBER, txnTime=shop.time(-5)))
    assert "2010002" in page


async def test_an_app_gets_a_tn_and_the_same_one_again(sandbox: Sandbox, shop: Shop) -> None:
    fields = shop.payment(NUMBER, channelType="08")
    first, again = await shop.call("app_url", fields), await shop.call("app_url", fields)
    assert (first.code, len(first.fields["tn"]), first.problem) == ("00", 21, "")
    assert first.fields["tn"] == again.fields["tn"]
    assert sandbox.pay_for({"tn": first.fields["tn"]})["amount"] == 8888
    assert (await shop.call("app_url", fields)).code == "12"
    await shop.call("app_url", late := shop.payment("PC20260301000002"))
    sandbox.advance(900)
    assert (await shop.call("app_url", late)).code == "30"


async def test_a_qr_code_is_paid_by_what_it_says(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    fields = shop.payment(NUMBER, 100, txnSubType="07", bizType="000000", channelType="08")
    made = await shop.call(BACK, fields)
    assert made.fields["qrCode"].startswith("https://qr.95516.com/00010000/62")
    assert (await shop.call(BACK, fields)).code == "12"
    sandbox.switches.unionpay.qr_again = "same"
    assert (await shop.call(BACK, fields)).fields["qrCode"] == made.fields["qrCode"]
    async with shop.session.post(f"{sandbox.base_url}/sandbox/pay", json={"code_url": made.fields["qrCode"]}) as paid:
        assert (await paid.json())["state"] == "SUCCESS"
    await sandbox.settle()
    assert told(receiver)[0]["txnSubType"] == "07"
    asked = shop.fields("00", "00", NUMBER, txnTime=fields["txnTime"], bizType="000000")
    assert (await shop.call(BACK, asked)).original == "00"  # the QR product's query


async def test_what_a_query_says(sandbox: Sandbox, shop: Shop) -> None:
    at = shop.time()
    absent = await shop.query(NUMBER, at)
    assert (absent.code, absent.fields["respMsg"], absent.fields["txnType"]) == ("34", "查无此交易[2600000]", "00")
    await shop.open(shop.form(NUMBER, txnTime=at))
    waiting = await shop.query(NUMBER, at)
    assert (waiting.code, waiting.original, waiting.fields["settleAmt"]) == ("00", "05", "0")
    assert "queryId" not in waiting.fields
    sandbox.pay(NUMBER)
    sandbox.advance(1)
    paid = await shop.query(NUMBER, at)
    assert (paid.code, paid.original, paid.fields["settleAmt"], paid.problem) == ("00", "00", "8888", "")
    assert (len(paid.fields["queryId"]), paid.fields["txnType"], paid.fields["bizType"]) == (21, "01", "000201")
    sandbox.advance(1)
    assert (await shop.query(NUMBER, shop.time(60))).code == "34"  # another txnTime is another transaction


async def test_asking_too_often_is_37(sandbox: Sandbox, shop: Shop) -> None:
    at = shop.time()
    await shop.open(shop.form(NUMBER, txnTime=at))
    assert [(await shop.query(NUMBER, at)).code for _ in range(2)] == ["00", "37"]
    sandbox.advance(1)
    assert (await shop.query(NUMBER, at)).code == "00"
    sandbox.switches.unionpay.query_gap_s = 0
    assert [(await shop.query(NUMBER, at)).code for _ in range(2)] == ["00", "00"]


async def test_after_pay_timeout_nothing_can_be_paid(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    at = shop.time()
    await shop.open(shop.form(NUMBER, txnTime=at))
    sandbox.advance(901)
    with pytest.raises(Refused, match="payTimeout"):
        sandbox.pay(NUMBER)
    assert (await shop.query(NUMBER, at)).original == "69"
    [row] = sandbox.books(NUMBER)
    assert (row.state, row.paid, row.closed_at) == ("CLOSED", 0, row.expires)
    late = await shop.app("PC20260301000009", txnTime=shop.time(-1000), payTimeout=shop.time(-10))
    assert late.code == "30"


async def test_an_internet_bank_pays_too_late_and_it_goes_back(
    sandbox: Sandbox, shop: Shop, receiver: Receiver
) -> None:
    at = shop.time()
    await shop.open(shop.form(NUMBER, txnTime=at))
    sandbox.advance(901)
    sandbox.faults.replace({"once": [{"fault": "late_bank"}]})
    sandbox.pay(NUMBER)
    answer = await shop.query(NUMBER, at)
    assert (answer.original, answer.fields["settleAmt"]) == ("42", "8888")
    assert (await shop.refund("RF20260301000001", answer.fields["queryId"], 1)).code == "35"
    [row] = sandbox.books(NUMBER)
    assert (row.paid, row.refunded) == (8888, 0)
    await later(sandbox, 5 * 86400)
    [row] = sandbox.books(NUMBER)
    assert (row.paid, row.refunded, row.state) == (8888, 8888, "REFUND")
    assert receiver.got == []  # nobody is told of any of it


async def test_a_vendor_that_lets_it_through_after_all(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    at = shop.time()
    await shop.open(shop.form(NUMBER, txnTime=at))
    sandbox.advance(901)
    sandbox.faults.replace({"once": [{"fault": "pay_after_close"}]})
    sandbox.pay(NUMBER)
    await sandbox.settle()
    assert (told(receiver)[0]["respCode"], (await shop.query(NUMBER, at)).original) == ("00", "00")


async def test_paid_with_a_defect_is_paid(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    sandbox.faults.replace({"once": [{"fault": "paid_a6"}]})
    form = shop.form(NUMBER)
    paid = sandbox.pay_for({"form": form})
    await sandbox.settle()
    assert (told(receiver)[0]["respCode"], paid["return"]["fields"]["respCode"]) == ("A6", "A6")
    answer = await shop.query(NUMBER, form["fields"]["txnTime"])
    assert (answer.original, answer.fields["settleAmt"]) == ("A6", "8888")


async def test_a_query_may_lag(sandbox: Sandbox, shop: Shop) -> None:
    sandbox.faults.replace({"once": [{"fault": "late_pay", "queries": 1}]})
    sandbox.switches.unionpay.query_gap_s = 0
    form = shop.form(NUMBER)
    sandbox.pay_for({"form": form})
    assert [(await shop.query(NUMBER, form["fields"]["txnTime"])).original for _ in range(2)] == ["05", "00"]


async def test_a_script_opens_and_pays_a_form_in_one(sandbox: Sandbox, shop: Shop) -> None:
    form = shop.form(NUMBER)

    async def pay(**more: Any) -> tuple[int, dict[str, Any]]:
        async with shop.session.post(f"{sandbox.base_url}/sandbox/pay", json={"form": form, **more}) as got:
            return got.status, await got.json()

    status, failed = await pay(fail="61")
    assert (status, failed["state"], failed["return"]) == (200, "FAILED", None)
    assert (await pay(fail="00"))[1]["error"] == "fail_invalid"
    status, paid = await pay()
    assert (status, paid["state"], paid["amount"], paid["number"]) == (200, "SUCCESS", 8888, NUMBER)
    brought = paid["return"]
    assert (brought["url"], problem(shop.block, brought["fields"], shop.clock())) == ("http://127.0.0.1:1/back", "")
    assert (await pay())[1]["error"] == "already_paid"
    form = {**form, "fields": {**form["fields"], "txnAmt": "1"}}
    status, refused = await pay()
    assert (status, refused["error"], "9100004" in refused["message"]) == (409, "form_refused", True)


async def test_payments_may_pay_themselves(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    sandbox.switches.autopay_s = 5
    await shop.qr(NUMBER)
    await later(sandbox, 5)
    assert [notice["respCode"] for notice in told(receiver)] == ["00"]


async def test_gbk_is_spoken_with_who_speaks_it(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    fields = shop.payment(NUMBER, encoding="GBK", orderDesc="咖啡", reqReserved="豆")
    made = await shop.post("app_url", shop.signed(fields, "gbk"), "gbk")
    assert (made.code, made.fields["respMsg"], made.problem) == ("00", "成功[0000000]", "")
    sandbox.pay(NUMBER)
    await sandbox.settle()
    notice = dict(parse_qsl(receiver.got[0].body.decode(), encoding="gbk"))
    assert (notice["respMsg"], notice["reqReserved"]) == ("成功[0000000]", "豆")
    assert problem(shop.block, notice, shop.clock(), "gbk") == ""
    assert receiver.got[0].headers["Content-Type"].endswith("charset=gbk")


async def test_only_posts_are_served(shop: Shop) -> None:
    for where in (FRONT, QUERY):
        async with shop.session.get(shop.block[where]) as got:
            assert got.status == 405
    async with shop.session.post(f"{shop.block['base_url']}/gateway/api/cardTransReq.do") as got:
        assert got.status == 404
