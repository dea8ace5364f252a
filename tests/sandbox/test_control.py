"""Scripts, people and restarts: /sandbox/..., the cashier, what is kept at home, and the process."""

import asyncio
import json
import re
import stat
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oncepay.sandbox.clock import Clock, rfc3339
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.wechat.keys import KeyFile
from tests.sandbox.merchant import Merchant, Receiver


async def ask(session: aiohttp.ClientSession, method: str, url: str, content: Any = None) -> tuple[int, Any]:
    async with session.request(method, url, json=content) as answer:
        return answer.status, await answer.json()


async def test_the_books_tell_every_order_and_every_refund(sandbox: Sandbox, merchant: Merchant) -> None:
    url = f"{sandbox.base_url}/sandbox/books"
    await merchant.prepay("BOOKS001", attach="pc:7")
    await merchant.prepay("BOOKS002")
    sandbox.advance(100)
    since = sandbox.clock.now()
    sandbox.pay("BOOKS001")
    await merchant.refund("BOOKS001", "BOOKS001R", 234)
    sandbox.advance(10)

    _, told = await ask(merchant.session, "GET", url)
    assert [order["number"] for order in told["orders"]] == ["BOOKS001", "BOOKS002"]
    for query in (
        "number=BOOKS001",
        "number=BOOKS001R",
        f"since={since}",
        f"since={rfc3339(since)}".replace("+", "%2B"),
    ):
        _, told = await ask(merchant.session, "GET", f"{url}?{query}")
        [order] = told["orders"]
        assert order["number"] == "BOOKS001", query
        assert (order["channel"], order["merchant"], order["method"]) == ("wechat", merchant.block["mchid"], "native")
        assert (order["amount"], order["paid"], order["refunded"], order["currency"]) == (1234, 1234, 234, "CNY")
        assert (order["state"], order["attach"]) == ("REFUND", "pc:7")
        [refund] = order["refunds"]
        assert (refund["number"], refund["amount"], refund["status"]) == ("BOOKS001R", 234, "SUCCESS")
    assert (await ask(merchant.session, "GET", f"{url}?since=yesterday"))[0] == 400
    assert (await ask(merchant.session, "GET", f"{url}?number=NOBODY"))[1]["orders"] == []


async def test_a_script_pays(sandbox: Sandbox, merchant: Merchant) -> None:
    url = f"{sandbox.base_url}/sandbox/pay"
    code_url = (await merchant.prepay("PAY00001")).json["code_url"]
    prepay_id = (await merchant.prepay("PAY00002", product="app")).json["prepay_id"]
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    h5_url = (await merchant.prepay("PAY00003", product="h5", scene_info=scene)).json["h5_url"]
    await merchant.prepay("PAY00004")
    for content in ({"code_url": code_url}, {"prepay_id": prepay_id}, {"h5_url": h5_url}, {"number": "PAY00004"}):
        status, told = await ask(merchant.session, "POST", url, content)
        assert (status, told["state"]) == (200, "SUCCESS")
        status, told = await ask(merchant.session, "POST", url, content)
        assert (status, told["error"]) == (409, "already_paid")
    refused: list[tuple[str, Any, tuple[int, str]]] = [
        ("POST", {"number": "PAY99999"}, (404, "order_absent")),
        ("POST", {"numbers": 1}, (400, "number_missing")),
        ("POST", [1], (400, "json_invalid")),
        ("GET", None, (405, "method_invalid")),
    ]
    for method, wrong, wanted in refused:
        status, told = await ask(merchant.session, method, url, wrong)
        assert (status, told["error"]) == wanted


async def test_time_is_advanced_by_script(sandbox: Sandbox, merchant: Merchant) -> None:
    url = f"{sandbox.base_url}/sandbox/clock"
    before = (await ask(merchant.session, "GET", url))[1]["now_s"]
    await merchant.prepay("CLOCK001")
    sandbox.pay("CLOCK001")
    await merchant.refund("CLOCK001", "R1", 1)
    status, told = await ask(merchant.session, "POST", url, {"advance_s": 3600})
    assert (status, told["fired"] >= 1) == (200, True)
    assert 3600 <= told["now_s"] - before < 3700
    for wrong in (-1, "1", None, True):
        assert (await ask(merchant.session, "POST", url, {"advance_s": wrong}))[0] == 400


async def test_all_that_is_due_runs_in_order_when_time_is_advanced() -> None:
    clock = Clock(lambda: 1000.0)
    ran: list[str] = []
    clock.at(1020, lambda: ran.append("second"))
    clock.at(1010, lambda: ran.append("first"))
    clock.at(1030, lambda: ran.append("third"))
    clock.at(1010, lambda: clock.at(1015, lambda: ran.append("made on the way")))
    assert clock.advance(25) == 4
    assert ran == ["first", "made on the way", "second"]
    assert clock.waiting == 1
    clock.stop()


async def test_timers_run_by_themselves_too() -> None:
    clock, rang = Clock(asyncio.get_running_loop().time), asyncio.Event()
    clock.at(clock.now() + 0.01, rang.set)
    await asyncio.wait_for(rang.wait(), 5)
    assert clock.waiting == 0


async def test_switches_over_http(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = f"{sandbox.base_url}/sandbox/switches"
    status, told = await ask(session, "PUT", url, {"paid_code": "ORDER_PAID", "refund_delay_s": 0})
    assert (status, told["paid_code"], sandbox.switches.paid_code) == (200, "ORDER_PAID", "ORDER_PAID")
    for wrong in ({"paid_code": "PAID"}, {"unknown": 1}, {"refund_delay_s": "soon"}):
        status, told = await ask(session, "PUT", url, wrong)
        assert (status, told["error"]) == (400, "switch_invalid")


async def test_what_was_told_can_be_looked_up(sandbox: Sandbox, merchant: Merchant, receiver: Receiver) -> None:
    await merchant.prepay("TOLD0001", notify_url=receiver.url)
    sandbox.pay("TOLD0001")
    await sandbox.settle()
    _, told = await ask(merchant.session, "GET", f"{sandbox.base_url}/sandbox/notifications?number=TOLD0001")
    [notice] = told["notifications"]
    assert (notice["tries"], notice["taken"], notice["last_status"]) == (1, True, 200)


async def test_another_merchant_and_another_certificate(sandbox: Sandbox, merchant: Merchant) -> None:
    status, block = await ask(merchant.session, "POST", f"{sandbox.base_url}/sandbox/merchants")
    other = Merchant(block, merchant.session)
    assert (status, (await other.prepay("OTHER001")).status) == (200, 200)
    for mchid, wanted in ((block["mchid"], 409), ("12", 400)):
        url = f"{sandbox.base_url}/sandbox/merchants"
        assert (await ask(merchant.session, "POST", url, {"mchid": mchid}))[0] == wanted
    _, told = await ask(merchant.session, "POST", f"{sandbox.base_url}/sandbox/rotate")
    assert (await merchant.query("OTHER001")).headers["Wechatpay-Serial"] == told["platform_serial_no"]


async def test_a_person_scans_and_pays(sandbox: Sandbox, merchant: Merchant) -> None:
    name = "<script>alert(1)</script>"
    code_url = (await merchant.prepay("PERSON01", description=name)).json["code_url"]
    get = merchant.session.get
    async with get(sandbox.base_url) as answer:
        front = await answer.text()
    assert name not in front
    assert "&lt;script&gt;" in front
    found = re.search(r'href="(/cashier/[^"]+)"', front)
    assert found is not None
    page_url = sandbox.base_url + found[1]
    async with get(page_url) as answer:
        page = await answer.text()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert name not in page
    assert "¥ 12.34" in page
    assert code_url in page
    for form, first in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        async with get(f"{page_url}/qr.{form}") as answer:
            assert (await answer.read()).startswith(first)
    async with get(f"{page_url}/qr.gif") as answer:
        assert answer.status == 404
    async with merchant.session.post(f"{page_url}/cancel") as answer:
        assert "left by the payer" in await answer.text()
    async with merchant.session.post(f"{page_url}/pay") as answer:
        paid = await answer.text()
    assert "Transaction" in paid
    assert "/pay" not in paid
    assert (await merchant.query("PERSON01")).json["trade_state"] == "SUCCESS"
    async with merchant.session.post(f"{page_url}/pay") as answer:
        assert (answer.status, "this order is paid" in await answer.text()) == (409, True)
    async with get(f"{sandbox.base_url}/cashier/NOSUCH") as answer:
        assert answer.status == 404


async def test_an_h5_link_leads_to_the_cashier_and_back(sandbox: Sandbox, merchant: Merchant) -> None:
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    h5_url = (await merchant.prepay("H5000001", product="h5", scene_info=scene)).json["h5_url"]
    for back, shown in (("http%3A%2F%2Fshop.test%2Fdone", True), ("javascript%3Aalert(1)", False)):
        async with merchant.session.get(f"{h5_url}&redirect_url={back}") as answer:
            assert ("Back to the shop" in await answer.text()) is shown


async def test_a_restart_keeps_keys_orders_time_and_what_is_still_to_be_told(
    tmp_path: Path, keys: KeyFile, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    receiver.status = 500
    async with Sandbox(home=tmp_path, keys=keys) as first:
        first.switches.refund_gap_s = 0
        merchant = Merchant(first.config["wechat"], session, clock=first.clock.now)
        await merchant.prepay("RESTART1", notify_url=receiver.url)
        await merchant.prepay("RESTART2")
        transaction = first.pay("RESTART1")["transaction_id"]
        first.faults.replace({"once": [{"fault": "refund_closed"}]})
        await merchant.refund("RESTART1", "R0", 100)
        first.advance(5)
        await merchant.refund("RESTART1", "R1", 34, notify_url=receiver.url)
        await first.settle()
        first.advance(1)
        before, net = first.books(), first.wechat.desk.books.net(keys.merchants[0].mchid)
    receiver.status = 204
    async with Sandbox(home=tmp_path) as second:  # keys from home
        assert second.books() == before
        assert second.wechat.desk.books.net(keys.merchants[0].mchid) == net
        assert second.clock.offset_s >= 1
        merchant = Merchant(second.config["wechat"], session, clock=second.clock.now)
        assert (await merchant.query("RESTART1")).json["transaction_id"] == transaction
        second.advance(15)
        await second.settle()
        assert {got.json["event_type"] for got in receiver.got[1:]} == {"TRANSACTION.SUCCESS", "REFUND.SUCCESS"}
        assert second.pay("RESTART2")["transaction_id"] > transaction  # numbering goes on
    for name in ("sandbox.json", "keys.json", "orders.journal"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


async def test_a_torn_last_line_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "orders.journal"
    path.write_bytes(b'["a","1",{"x":1}]\n["a","2",2]\n["a","2",null]\n["a","1",{"x":2}]\n["a","3",{"to')
    journal = Journal(path)
    assert journal.read() == {"a": {"1": b'{"x":2}'}}
    journal.note("a", "4", [4])
    await asyncio.sleep(0)
    journal.close()
    assert Journal(path).read() == {"a": {"1": b'{"x":2}', "4": b"[4]"}}


async def test_it_runs_as_a_process(tmp_path: Path, session: aiohttp.ClientSession, receiver: Receiver) -> None:
    """The command writes its settings, serves on uvloop, tells of payments, and ends on SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oncepay.sandbox", "--listen", "127.0.0.1:0", "--home", str(tmp_path / "home"),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    assert line.startswith(b"sandbox http://127.0.0.1:")
    config = json.loads((tmp_path / "home" / "sandbox.json").read_text("utf-8"))
    assert set(config["wechat"]) >= {
        "base_url", "mchid", "appid", "merchant_serial_no", "merchant_private_key_pem", "apiv3_key",
        "platform_certificate_pem", "platform_serial_no", "public_key_pem", "public_key_id",
    }  # fmt: skip
    merchant = Merchant(config["wechat"], session)
    for number in ("PROCESS1", "PROCESS2"):
        assert (await merchant.prepay(number, notify_url=receiver.url)).genuine
        status, _ = await ask(session, "POST", f"{config['base_url']}/sandbox/pay", {"number": number})
        assert status == 200
    await receiver.has(2)
    assert merchant.judge(receiver.got[0].headers, receiver.got[0].body) == (True, True)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0


def test_a_wrong_address_is_refused_at_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    from oncepay.sandbox.main import main

    with pytest.raises(SystemExit):
        main(["--listen", "8490"])
    assert "is not HOST:PORT" in capsys.readouterr().err


async def test_a_body_of_two_megabytes_is_cut_off(sandbox: Sandbox, merchant: Merchant) -> None:
    port = int(sandbox.base_url.rpartition(":")[2])

    async def push() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"POST /v3/pay/transactions/native HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n")
            for _ in range(64):
                writer.write(b" " * (1 << 15))
                await writer.drain()
            await reader.readexactly(1)
        finally:
            writer.close()

    with pytest.raises((OSError, EOFError)):
        await push()
    assert (await merchant.prepay("AFTERBIG")).status == 200
