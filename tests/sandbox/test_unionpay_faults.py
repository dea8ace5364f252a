"""Every fault of the menu that UnionPay knows, and the settlement file with what is planted in it."""

import base64
import io
import zipfile
import zlib
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from oncepay.sandbox.main import Sandbox
from tests.sandbox.unionpay import BEIJING, Answer, Shop

NUMBER = "PC20260301000001"


def once(sandbox: Sandbox, fault: str, **params: Any) -> None:
    sandbox.faults.replace({"once": [{"fault": fault, "channel": "unionpay", **params}]})


@pytest.mark.parametrize(("fault", "made"), [("drop_before", False), ("drop_after", True)])
async def test_the_connection_is_dropped(sandbox: Sandbox, shop: Shop, fault: str, made: bool) -> None:
    once(sandbox, fault, call="prepay")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await shop.app(NUMBER)
    assert bool(sandbox.books(NUMBER)) is made


@pytest.mark.parametrize("fault", ["garbage", "truncated"])
async def test_an_answer_that_cannot_be_read(sandbox: Sandbox, shop: Shop, fault: str) -> None:
    once(sandbox, fault)
    with pytest.raises(aiohttp.ClientError):
        await shop.app(NUMBER)
    assert sandbox.books(NUMBER)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("answer_03", "03"), ("answer_04", "04"), ("answer_05", "05"), ("system_error", "06"), ("http_429", "37")],
)
async def test_an_unclear_answer_before_or_after_the_effect(
    sandbox: Sandbox, shop: Shop, fault: str, code: str
) -> None:
    fields = shop.payment(NUMBER)
    for name, effect in ((fault, False), (f"{fault}_after", True)):
        once(sandbox, name)
        answer = await shop.call("app_url", fields)
        assert (answer.code, answer.problem, answer.fields["orderId"]) == (code, "", NUMBER)
        assert bool(sandbox.books(NUMBER)) is effect


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_gateway_answers_before_or_after_the_effect(sandbox: Sandbox, shop: Shop, status: int) -> None:
    fields = shop.payment(NUMBER)
    for name, effect in ((f"http_{status}", False), (f"http_{status}_after", True)):
        once(sandbox, name)
        answer = await shop.call("app_url", fields)
        assert (answer.status, answer.body.startswith(b"<html>")) == (status, True)
        assert bool(sandbox.books(NUMBER)) is effect


@pytest.mark.parametrize(("fault", "code"), [("refused_401", "11"), ("refused_403", "32")])
async def test_an_account_is_refused(sandbox: Sandbox, shop: Shop, fault: str, code: str) -> None:
    query_id = sandbox.pay_for({"form": shop.form(NUMBER)})["transaction_id"]
    sandbox.faults.replace({"on": {fault: {"call": "refund"}}})
    assert (await shop.refund("RF000001", query_id, 1)).code == code
    assert (await shop.void("VD000001", query_id)).code == "00"  # that one is a "cancel"
    assert (await shop.query(NUMBER, shop.time())).code != code


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"fault": "forged_200"}, "unsigned"),
        ({"fault": "forged_200", "how": "other"}, "company"),
        ({"fault": "cert_foreign"}, "company"),
        ({"fault": "cert_stranger"}, "chain"),
        ({"fault": "cert_expired"}, "dates"),
        ({"fault": "cert_lf"}, "signature"),
        ({"fault": "cert_sha1"}, ""),
    ],
)
async def test_answers_that_must_not_be_trusted(
    sandbox: Sandbox, shop: Shop, params: dict[str, Any], wrong: str
) -> None:
    once(sandbox, **params)
    assert [(await shop.app(f"{NUMBER}{n}")).problem for n in range(2)] == [wrong, ""]


async def test_a_new_certificate_signs_from_this_call_on(sandbox: Sandbox, shop: Shop) -> None:
    once(sandbox, "cert_rotate")
    answers = [await shop.app(f"{NUMBER}{n}") for n in range(2)]
    assert len({answer.fields["signPubKeyCert"] for answer in answers}) == 1
    assert answers[0].fields["signPubKeyCert"].replace("\r\n", "\n") != shop.block["sign_certificate_pem"].strip()
    assert [answer.problem for answer in answers] == ["", ""]


async def test_a_rule_may_mean_one_number_and_one_call(sandbox: Sandbox, shop: Shop) -> None:
    query_id = sandbox.pay_for({"form": shop.form(NUMBER)})["transaction_id"]
    at = shop.time()
    await shop.refund("RF000001", query_id, 1)
    once(sandbox, "answer_04", call="refund_query", number="RF000001")
    assert [(await shop.query(number, at)).code for number in (NUMBER, "RF000001", "RF000001")][1:] == ["04", "00"]


async def test_a_rule_may_mean_the_payment_that_is_refunded(sandbox: Sandbox, shop: Shop) -> None:
    query_ids = [sandbox.pay_for({"form": shop.form(f"{NUMBER}{n}")})["transaction_id"] for n in range(2)]
    sandbox.faults.replace({"on": {"answer_03": {"number": f"{NUMBER}1"}}})
    codes = [(await shop.refund(f"RF00000{n}", query_id, 1)).code for n, query_id in enumerate(query_ids)]
    assert codes == ["00", "03"]


async def test_a_browser_meets_faults_as_pages(sandbox: Sandbox, shop: Shop) -> None:
    once(sandbox, "answer_03", call="open")
    status, _, page = await shop.open(shop.form(NUMBER))
    assert (status, "交易通讯超时" in page, sandbox.books()) == (200, True, [])


async def file(shop: Shop, day: datetime) -> Answer:
    more = {"bizType": "000000", "settleDate": f"{day:%m%d}", "fileType": "00", "orderId": "", "channelType": ""}
    return await shop.call("file_url", shop.fields("76", "01", "", **more))


def lines(answer: Answer) -> list[str]:
    packed = zlib.decompress(base64.b64decode(answer.fields["fileContent"]))
    with zipfile.ZipFile(io.BytesIO(packed)) as found:
        normal, errors = sorted(found.namelist(), key=len)
        assert found.read(errors) == b""
        return [line for line in found.read(normal).decode("gbk").split("\r\n") if line]


@pytest.fixture
async def settled(sandbox: Sandbox, shop: Shop) -> datetime:
    """Two payments and a refund of a day at noon, now the next day at ten; that day."""
    now = datetime.fromtimestamp(shop.clock(), BEIJING)
    noon = (now + timedelta(days=1)).replace(hour=12, minute=0)
    sandbox.advance((noon - now).total_seconds())
    query_id = sandbox.pay_for({"form": shop.form(NUMBER)})["transaction_id"]
    sandbox.pay_for({"form": shop.form(f"{NUMBER}B", 100)})
    await shop.refund("RF20260301000001", query_id, 888)
    sandbox.advance(2)
    sandbox.advance(11.5 * 3600)  # half past eleven at night: the next settlement day
    sandbox.pay_for({"form": shop.form(f"{NUMBER}C", 5)})
    sandbox.advance(10.5 * 3600)
    return noon


async def test_a_settlement_day_is_one_file(sandbox: Sandbox, shop: Shop, settled: datetime) -> None:
    answer = await file(shop, settled)
    assert (answer.code, answer.problem) == ("00", "")
    assert answer.fields["fileName"] == f"{shop.block['merId']}_{settled:%Y%m%d}.zip"
    found = lines(answer)
    assert {len(line.encode("gbk")) for line in found} == {607}
    assert [(line[:3], line[112:144].strip(), int(line[66:78])) for line in found] == [
        ("S22", NUMBER, 8888),
        ("S30", "RF20260301000001", 888),
        ("S22", f"{NUMBER}B", 100),
    ]


async def test_a_day_without_a_file_is_98(sandbox: Sandbox, shop: Shop, settled: datetime) -> None:
    assert (await file(shop, settled - timedelta(days=1))).code == "98"  # nothing happened
    assert (await file(shop, settled + timedelta(days=1))).code == "98"  # not over yet
    sandbox.switches.unionpay.file_ready_hour = 11
    assert (await file(shop, settled)).code == "98"  # not ready yet
    sandbox.switches.unionpay.file_ready_hour = 9
    for fault in ("bill_creating", "bill_none"):
        once(sandbox, fault)
        assert [(await file(shop, settled)).code for _ in range(2)] == ["98", "00"]


async def test_differences_may_be_planted(sandbox: Sandbox, shop: Shop, settled: datetime) -> None:
    right = lines(await file(shop, settled))
    once(sandbox, "bill_row_missing", number=f"{NUMBER}B")
    assert lines(await file(shop, settled)) == right[:2]
    once(sandbox, "bill_amount_wrong", number=f"{NUMBER}B")
    wrong = lines(await file(shop, settled))
    assert (wrong[:2], int(wrong[2][66:78])) == (right[:2], 101)
    once(sandbox, "bill_row_extra")
    extra = lines(await file(shop, settled))
    assert (extra[:3], extra[3][112:119]) == (right, "UNKNOWN")
    assert lines(await file(shop, settled)) == right
