"""The guide's program, as it stands: strictly typed, and run against a real centre; and the guards from a shell."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from oncepay.client.guards import tables
from oncepay.client.guards.__main__ import main
from oncepay.client.guards.dialects import Dialect
from oncepay.publishers.signing import sign
from tests.client.guide import ROOT, complaints_of, program_of
from tests.client.wire_vectors import NEW
from tests.wire.api import Api, open_api

PROGRAM: Final = program_of("guards.md")


def test_the_program_of_the_guide_is_strictly_typed(tmp_path: Path) -> None:
    assert complaints_of(PROGRAM, tmp_path) == ""


async def test_the_program_of_the_guide_runs(tmp_path: Path) -> None:
    async with open_api() as api:
        shop: dict[str, Any] = {}
        text = PROGRAM.replace("http://127.0.0.1:8480", api.engine.settings.public_url)
        text = text.replace("onc_...", api.town.key).replace('"whsec_..."', f'"{NEW}"')
        exec(text.replace("shop.db", str(tmp_path / "shop.db")), shop)
        loop = asyncio.get_running_loop()

        def pay(number: str) -> None:
            asyncio.run_coroutine_threadsafe(_pays(api, number), loop).result(10)

        await asyncio.to_thread(_play, api, shop, pay)


async def _pays(api: Api, attempt: str) -> None:
    api.town.sandbox.pay(attempt.removeprefix("att_"))
    await api.town.quiet()


def _play(api: Api, shop: dict[str, Any], pay: Callable[[str], None]) -> None:
    """A day of the shop, in a thread of its own."""
    with ThreadPoolExecutor(8) as pool:
        clicks = pool.map(lambda _: shop["submit"](7, ["tea"], 8800), range(8))
    (order_no,) = {click.order_no for click in clicks}
    assert shop["pay"](order_no, 8800).startswith("weixin://")
    payment = shop["client"].payments.of_order(order_no)
    pay(payment.attempts[0].id)

    (event,) = api.town.shop.heard
    body, now = json.dumps(event).encode(), api.town.now_ms / 1000
    headers = sign((NEW,), event["id"], int(now), body)
    assert [shop["webhook"](headers, body, now) for _ in range(3)] == [204] * 3
    assert shop["webhook"]({}, body, now) == 400
    shop["refund"](shop["client"].payments.of_order(order_no), "R-1", 800)
    with shop["begin"]() as db:
        assert db.execute("SELECT above FROM oncepay_watch").fetchall() == [(1,)]
    assert shop["watch"].pull() == len(shop["client"].events.list().data)
    with shop["begin"]() as db:
        assert db.execute("SELECT order_no, status FROM orders").fetchall() == [(order_no, "paid")]
        assert db.execute("SELECT order_no FROM shipping").fetchall() == [(order_no,)]
        assert db.execute("SELECT order_no FROM oncepay_watch").fetchall() == [(order_no,)]
        shop["never_arrived"](db, "A-0")
    assert shop["watch"].run_once() == 0
    assert shop["inbox"].poisoned() == []
    shop["client"].close()


# -- from a shell ------------------------------------------------------------------------------------------------

MODULE: Final = """
import asyncio, sqlite3
from pathlib import Path
from oncepay.client import AsyncClient, Client
from oncepay.client.guards import AsyncInbox, AsyncWatch, Inbox, Watch, link_of, transactions
from oncepay.client.guards.milestones import WORDS

begin = transactions.dbapi(lambda: sqlite3.connect("shop.db"))
with begin() as db:
    link_of(db).make_tables()
inbox = Inbox(begin)
inbox.ignore(*WORDS)
client = Client("http://127.0.0.1:1", "onc_none").within(0.1)
watch = Watch(client, inbox, absent=print)


class Ready(AsyncWatch):
    async def run_once(self):
        return 7

    async def pull(self):
        return 9

    async def run(self):
        print("running", flush=True)
        await asyncio.Event().wait()


async def make():
    return Ready(AsyncClient("http://127.0.0.1:1", "onc_none"), AsyncInbox(None), absent=print)
"""


def shell(folder: Path, *words: str) -> tuple[int, str, str]:
    (folder / "shop.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-m", "oncepay.client.guards", *words],
        cwd=folder, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_it_prints_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    for dialect in get_args(Dialect):
        assert main(["tables", dialect]) == 0
        assert capsys.readouterr().out == tables(dialect)


def test_it_watches_and_pulls(tmp_path: Path) -> None:
    assert shell(tmp_path, "watch", "shop:watch") == (0, "0 orders asked for\n", "")
    assert shell(tmp_path, "watch", "shop:make") == (0, "7 orders asked for\n", "")
    assert shell(tmp_path, "pull", "shop:make") == (0, "9 events read\n", "")
    code, out, error = shell(tmp_path, "pull", "shop:watch")
    assert (code, out) == (1, "")
    assert error.startswith("GET /v1/events: no connection to http://127.0.0.1:1")
    code, _, error = shell(tmp_path, "watch", "shop")
    assert (code, "'shop' is not like shop.payments:watch" in error) == (2, True)


@pytest.mark.parametrize("name", ["watch", "make"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_ends_when_it_is_told(tmp_path: Path, name: str, ending: signal.Signals) -> None:
    (tmp_path / "shop.py").write_text(MODULE.replace("def run_once", "def once").replace("watch = Watch", READY))
    with subprocess.Popen(
        [sys.executable, "-m", "oncepay.client.guards", "watch", f"shop:{name}", "--loop"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(ending)
        assert process.wait(30) == 0


READY: Final = """
class Told(Watch):
    def run(self, stop):
        print("running", flush=True)
        super().run(stop)


watch = Told"""
