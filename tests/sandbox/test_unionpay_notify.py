"""UnionPay's notices: five at most, the same bytes, and every certificate that must not be believed."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.unionpay.keys import KeyFile
from oncepay.sandbox.unionpay.notify import GAPS_S
from oncepay.sandbox.wechat.keys import KeyFile as WechatKeys
from tests.sandbox.merchant import Receiver
from tests.sandbox.unionpay import Shop, problem, told

NUMBER = "PC20260301000001"
FIELDS = {
    "accNo", "accessType", "bizType", "currencyCode", "encoding", "merId", "orderId", "queryId", "respCode", "respMsg",
    "settleAmt", "settleCurrencyCode", "settleDate", "signMethod", "signPubKeyCert", "signature", "traceNo", "traceTime",
    "txnAmt", "txnSubType", "txnTime", "txnType", "version",
}  # fmt: skip


async def later(sandbox: Sandbox, seconds: float) -> None:
    sandbox.advance(seconds)
    await sandbox.settle()


async def pay(sandbox: Sandbox, shop: Shop, number: str = NUMBER) -> None:
    sandbox.pay_for({"form": shop.form(number)})
    await sandbox.settle()


async def strike(sandbox: Sandbox, shop: Shop, fault: str, **params: Any) -> None:
    sandbox.faults.replace({"once": [{"fault": fault, **params}]})
    await pay(sandbox, shop)


async def test_a_notice_has_the_captured_fields(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    await pay(sandbox, shop)
    assert told(receiver)[0].keys() == FIELDS
    body = receiver.got[0].body
    assert b"-----BEGIN+CERTIFICATE-----%0D%0A" in body
    assert body.rpartition(b"&")[2].startswith(b"signature=")


async def test_what_is_not_taken_comes_five_times(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    assert GAPS_S == (60, 120, 240, 300)
    receiver.status = 500
    await pay(sandbox, shop)
    for count, gap in enumerate(GAPS_S, start=1):
        await later(sandbox, gap - 1)
        assert len(receiver.got) == count
        await later(sandbox, 1)
    await later(sandbox, 10 * 86400)
    assert len(receiver.got) == 5
    assert len({got.body for got in receiver.got}) == 1


@pytest.mark.parametrize(("status", "taken"), [(200, True), (201, False), (204, False), (302, False), (404, False)])
async def test_only_200_takes_it(sandbox: Sandbox, shop: Shop, receiver: Receiver, status: int, taken: bool) -> None:
    receiver.status = status
    await pay(sandbox, shop)
    await later(sandbox, 60)
    assert len(receiver.got) == (1 if taken else 2)


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ("notify_forged", "company"),
        ("cert_foreign", "company"),
        ("cert_stranger", "chain"),
        ("cert_expired", "dates"),
        ("cert_lf", "signature"),
        ("cert_sha1", ""),
    ],
)
async def test_a_wrong_certificate_is_followed_by_the_right_one(
    sandbox: Sandbox, shop: Shop, receiver: Receiver, fault: str, wrong: str
) -> None:
    receiver.status = 400
    await strike(sandbox, shop, fault, call="notify")
    await later(sandbox, 60)
    assert [problem(shop.block, notice, shop.clock()) for notice in told(receiver)] == [wrong, ""]


async def test_a_wrong_amount_is_validly_signed(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    await strike(sandbox, shop, "notify_wrong_amount", amount=1)
    [notice] = told(receiver)
    assert (notice["txnAmt"], problem(shop.block, notice, shop.clock())) == ("1", "")
    assert sandbox.books(NUMBER)[0].paid == 8888


async def test_the_road_has_the_faults_of_all_roads(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    await strike(sandbox, shop, "notify_none")
    await later(sandbox, 86400)
    assert receiver.got == []
    sandbox.faults.replace({"once": [{"fault": "notify_duplicate"}]})
    await pay(sandbox, shop, "PC20260301000002")
    assert len(receiver.got) == 2


async def test_a_script_may_send_a_forged_one_now(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    await shop.open(shop.form(NUMBER))
    wanted = {"number": NUMBER, "forged": True, "amount": 5}
    async with shop.session.post(f"{sandbox.base_url}/sandbox/notify", json=wanted) as got:
        assert (await got.json())["status"] == 200
    [notice] = told(receiver)
    assert (notice["respCode"], notice["txnAmt"]) == ("00", "5")
    assert problem(shop.block, notice, shop.clock()) == "company"
    assert sandbox.books(NUMBER)[0].paid == 0


async def test_a_back_url_keeps_its_query(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    shop.notify_url = f"{receiver.url}?a=b"
    await pay(sandbox, shop)
    [notice] = told(receiver)
    assert ("a" in notice, problem(shop.block, notice, shop.clock())) == (False, "")


async def test_a_new_certificate_signs_from_now_on(sandbox: Sandbox, shop: Shop, receiver: Receiver) -> None:
    await pay(sandbox, shop)
    async with shop.session.post(f"{sandbox.base_url}/sandbox/rotate", json={"channel": "unionpay"}) as got:
        fresh = (await got.json())["sign_certificate_pem"]
    assert fresh == sandbox.config["unionpay"]["sign_certificate_pem"] != shop.block["sign_certificate_pem"]
    await pay(sandbox, shop, "PC20260301000002")
    old, new = told(receiver)
    assert old["signPubKeyCert"] != new["signPubKeyCert"]
    assert problem(shop.block, new, shop.clock()) == ""  # the chain is the same


async def test_a_restart_keeps_keys_orders_and_what_is_due(
    tmp_path: Path, keys: WechatKeys, unionpay: KeyFile, receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    receiver.status = 500
    async with Sandbox(home=tmp_path, seed=1, keys=keys, unionpay_keys=unionpay) as sandbox:
        shop = Shop(sandbox.config["unionpay"], session, sandbox.clock.now, receiver.url)
        query_id = sandbox.pay_for({"form": shop.form(NUMBER)})["transaction_id"]
        refunded = await shop.refund("RF20260301000001", query_id, 100)
        await sandbox.settle()
    receiver.status = 200
    async with Sandbox(home=tmp_path, seed=2) as sandbox:
        fresh = Shop(sandbox.config["unionpay"], session, sandbox.clock.now, receiver.url)
        assert fresh.block["certId"] == shop.block["certId"]
        await later(sandbox, 61)
        assert [notice["orderId"] for notice in told(receiver)] == [NUMBER, "RF20260301000001", NUMBER]
        assert sandbox.books(NUMBER)[0].refunded == 100
        assert (await fresh.refund("RF20260301000002", query_id, 8789)).code == "36"
        answer = await fresh.refund("RF20260301000002", query_id, 8788)
        assert answer.code == "00"
        numbers = (query_id, refunded.fields["queryId"], answer.fields["queryId"])
        assert len({number[14:20] for number in numbers}) == 3  # trace numbers go on
