"""The merchant's bills over real HTTP: when they are there, how they are fetched, planted differences."""

import gzip
import hashlib
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from oncepay.sandbox.clock import beijing
from oncepay.sandbox.main import Sandbox
from tests.sandbox.merchant import Merchant


@pytest.fixture
async def day(sandbox: Sandbox, merchant: Merchant) -> str:
    """A day with two payments of 12.34 and a refund of 2.34; it is two days later now."""
    sandbox.faults.replace({"on": {"notify_none": True}})
    for number in ("BILL0001", "BILL0002"):
        await merchant.prepay(number, description="a,b\nc", attach="x")
        sandbox.pay(number)
    await merchant.refund("BILL0001", "BILL0001R", 234)
    day = f"{beijing(sandbox.clock.now()):%Y-%m-%d}"
    sandbox.advance(2 * 86400)
    return day


async def fetch(merchant: Merchant, kind: str, day: str, **more: str) -> list[list[str]]:
    """A bill's rows, checked against its hash and layout."""
    query = "&".join([f"bill_date={day}"] + [f"{k}={v}" for k, v in more.items()])
    offered = await merchant.call("GET", f"/v3/bill/{kind}?{query}")
    assert offered.genuine, offered.body
    target = offered.json["download_url"].removeprefix(merchant.block["base_url"])
    got = await merchant.call("GET", target)
    assert (got.status, got.signed) == (200, False)
    packed = more.get("tar_type") == "GZIP"
    assert got.headers["Content-Type"] == ("application/x-gzip" if packed else "text/plain")
    raw = gzip.decompress(got.body) if packed else got.body
    assert hashlib.sha1(raw).hexdigest() == offered.json["hash_value"]
    text = raw.decode("utf-8")
    assert text.startswith("\ufeff")
    assert text.endswith("\r\n")
    lines = text[1:].split("\r\n")[:-1]
    assert all(line.startswith("`") for line in (*lines[1:-2], lines[-1]))
    return [[cell.removeprefix("`") for cell in line.split(",")] for line in lines]


@pytest.mark.parametrize(("kind", "rows"), [("ALL", 3), ("SUCCESS", 2), ("REFUND", 1)])
async def test_a_trade_bill_has_its_rows_and_columns(merchant: Merchant, day: str, kind: str, rows: int) -> None:
    table = await fetch(merchant, "tradebill", day, bill_type=kind, tar_type="GZIP")
    head, body, summary = table[0], table[1:-2], dict(zip(table[-2], table[-1], strict=True))
    assert (len(head), len(body)) == ({"ALL": 27, "SUCCESS": 20, "REFUND": 29}[kind], rows)
    cells = [dict(zip(head, row, strict=True)) for row in body]
    assert {row["商品名称"] for row in cells} == {"a\\ b\\nc"}
    assert summary["总交易单数"] == str(rows)
    if kind != "REFUND":
        assert summary["应结订单总金额"] == "24.68"
    if kind != "SUCCESS":
        [back] = [row for row in cells if row["交易状态"] == "REFUND"]
        assert (back["退款金额"], back["手续费"], summary["退款总金额"]) == ("2.34", "-0.01000", "2.34")


async def test_a_fund_flow_bill_adds_up(merchant: Merchant, day: str) -> None:
    table = await fetch(merchant, "fundflowbill", day)
    balances = [int(row[7].replace(".", "")) for row in table[1:-2]]
    changes = [int(row[6].replace(".", "")) * (1 if row[5] == "收入" else -1) for row in table[1:-2]]
    assert [b - a for a, b in pairwise(balances)] == changes[1:]
    assert sum(changes) == 1234 * 2 - 7 * 2 - 234 + 1
    assert table[-1] == ["5", "2", "24.68", "3", "2.47"]


async def test_a_bill_is_there_the_next_day_at_ten(sandbox: Sandbox, merchant: Merchant, day: str) -> None:
    today = beijing(sandbox.clock.now())
    yesterday = f"{today - timedelta(days=1):%Y-%m-%d}"
    for date, code in (
        (f"{today:%Y-%m-%d}", "INVALID_REQUEST"),
        (f"{today - timedelta(days=100):%Y-%m-%d}", "INVALID_REQUEST"),
        ("2027-1-1", "PARAM_ERROR"),
        ("2027-13-01", "PARAM_ERROR"),
        ("", "PARAM_ERROR"),
    ):
        assert (await merchant.call("GET", f"/v3/bill/tradebill?bill_date={date}")).code == code
    for hour, code in ((24, "STATEMENT_CREATING"), (0, "NO_STATEMENT_EXIST")):
        sandbox.switches.bill_ready_hour = hour
        reply = await merchant.call("GET", f"/v3/bill/tradebill?bill_date={yesterday}")
        assert (reply.status, reply.code, reply.genuine) == (400, code, True)
    bad: list[tuple[str, str]] = [("bill_type", "NONE"), ("tar_type", "ZIP")]
    for name, value in bad:
        assert (await merchant.call("GET", f"/v3/bill/tradebill?bill_date={day}&{name}={value}")).code == "PARAM_ERROR"
    assert (await merchant.call("GET", f"/v3/bill/fundflowbill?bill_date={day}&account_type=FEES")).code == (
        "NO_STATEMENT_EXIST"
    )


async def test_a_bills_address_has_a_life_and_an_owner(sandbox: Sandbox, merchant: Merchant, day: str) -> None:
    offered = (await merchant.call("GET", f"/v3/bill/tradebill?bill_date={day}")).json
    target = offered["download_url"].removeprefix(merchant.block["base_url"])
    other = Merchant(sandbox.add_merchant(), merchant.session, clock=merchant.clock)
    assert (await other.call("GET", target)).code == "NO_AUTH"
    assert (await merchant.call("GET", target, Authorization=None)).status == 401
    sandbox.advance(300)
    assert (await merchant.call("GET", target)).code == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("fault", "code"), [("bill_creating", "STATEMENT_CREATING"), ("bill_none", "NO_STATEMENT_EXIST")]
)
async def test_a_bill_may_not_be_there(sandbox: Sandbox, merchant: Merchant, day: str, fault: str, code: str) -> None:
    sandbox.faults.replace({"once": [{"fault": fault}]})
    assert (await merchant.call("GET", f"/v3/bill/tradebill?bill_date={day}")).code == code
    assert (await merchant.call("GET", f"/v3/bill/tradebill?bill_date={day}")).status == 200


async def test_a_hash_may_be_wrong(sandbox: Sandbox, merchant: Merchant, day: str) -> None:
    sandbox.faults.replace({"once": [{"fault": "bill_hash_wrong"}]})
    with pytest.raises(AssertionError):
        await fetch(merchant, "tradebill", day)
    await fetch(merchant, "tradebill", day)


async def test_differences_may_be_planted(sandbox: Sandbox, merchant: Merchant, day: str) -> None:
    async def struck(fault: str, **params: Any) -> list[tuple[str, str]]:
        sandbox.faults.replace({"once": [{"fault": fault, **params}]})
        table = await fetch(merchant, "tradebill", day, bill_type="SUCCESS")
        return [(row[6], row[12]) for row in table[1:-2]]

    assert await struck("bill_row_missing", number="BILL0002") == [("BILL0001", "12.34")]
    assert await struck("bill_amount_wrong", number="BILL0002") == [("BILL0001", "12.34"), ("BILL0002", "12.35")]
    rows = await struck("bill_row_extra")
    assert (len(rows), rows[2]) == (3, ("UNKNOWNBILL0001", "12.34"))
    assert sandbox.books("BILL0002")[0].amount == 1234
