"""The demonstration as a person runs it; and its judge, which must not be easily pleased."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from oncepay import cli
from oncepay.cli import exits, play
from oncepay.cli.demo.books import Deed, Order
from oncepay.cli.demo.check import Promise, complaints
from oncepay.cli.demo.shop import EXAMPLE
from oncepay.cli.demo.stage import on_page
from oncepay.cli.demo.stories import STORIES
from oncepay.cli.demo.world import World
from tests.wheel import unpacked_wheel
from tests.wire.cli import get, running, wait

ENDED = f"{len(STORIES)} stories, {len(STORIES)} as promised"


@pytest.mark.parametrize("silent", [(), ("--silent",)], ids=["", "notifications switched off"])
def test_every_story_ends_as_promised(silent: tuple[str, ...]) -> None:
    environ = {**os.environ, "ONCEPAY_NONSENSE": "the demo takes no settings from outside"}
    played = subprocess.run(
        [sys.executable, "-m", "oncepay", "demo", "--once", *silent],
        env=environ, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.splitlines()[-1] == ENDED, played.stdout
    assert [played.stdout.count(f"✓ {story.title}  ") for story in STORIES] == [1] * len(STORIES)


def test_its_ports_are_given_to_nobody_before_its_programs_listen(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        given = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(200)]
    worlds = [World(tmp_path, None) for _ in range(30)]
    urls = [url for world in worlds for url in (world.sandbox_url, world.centre_url, world.shop.url)]
    assert max(int(url.rpartition(":")[2]) for url in urls) < min(given)


def test_it_stays_up_until_it_is_interrupted(tmp_path: Path) -> None:
    with running(
        "demo", "--story", "abandoned", "--home", str(tmp_path / "home"), settings={}, log=tmp_path / "log"
    ) as demo:
        said = demo.wait_for("1 stories, 1 as promised")
        urls = re.findall(r"http://\S+", said)
        assert len(urls) == 4
        assert [get(url) for url in urls] == [200] * 4
        for way in ("wechat", "alipay", "unionpay"):
            buy_and_pay(way, *urls[:3])
        assert demo.said().splitlines()[-1] == "1 stories, 1 as promised", "the terminal is left alone"
        demo.tell(signal.SIGINT)
        assert demo.ends() == 0
        assert [get(url) for url in urls] == [0] * 4


def living(home: Path) -> list[str]:
    """The processes whose command line names a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found += [word for word in process.cmdline() if str(home) in word]
    return found


def test_its_programs_end_with_it_also_when_it_is_killed(tmp_path: Path) -> None:
    """As by a test that took too long, or a terminal that was closed."""
    with running(
        "demo", "--story", "abandoned", "--home", str(tmp_path / "home"), settings={}, log=tmp_path / "log"
    ) as demo:
        urls = re.findall(r"http://\S+", demo.wait_for("1 stories, 1 as promised"))
        demo.tell(signal.SIGKILL)
        assert demo.ends() == -signal.SIGKILL
        wait(lambda: not any(get(url) for url in urls), "the end of the sandbox, the centre and the shop")
        wait(lambda: not living(tmp_path), "the end of what watches for the shop")


def test_what_others_set_for_their_programs_is_not_for_its_own(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    others = {"HTTP_PROXY": nowhere, "http_proxy": nowhere, "ALL_PROXY": nowhere, "FLASK_RUN_CERT": "absent"}
    arguments = ("demo", "--once", "--story", "asks", "--home", str(tmp_path / "home"))
    with running(*arguments, settings=others, log=tmp_path / "log") as demo:
        assert demo.ends(180) == 0, demo.said()


CARELESS = """
from oncepay.client.guards import inbox as careful
unmet = careful.unmet
careful.unmet = lambda payment, done: unmet(payment, "")  # acts on what stands there, not on what is new
"""


def test_a_story_with_a_careless_shop_does_not_end_as_promised(tmp_path: Path) -> None:
    careless = tmp_path / "careless"
    careless.mkdir()
    (careless / "shop.py").write_text(CARELESS + (EXAMPLE / "shop.py").read_text("utf-8"), "utf-8")
    program = (
        "import sys; from pathlib import Path; from oncepay.cli import main; from oncepay.cli.demo import shop;"
        f"shop.EXAMPLE = Path({str(careless)!r}); main(sys.argv[1:])"
    )
    arguments = ("demo", "--once", "--story", "parts", "--home", str(tmp_path / "home"))
    with running(*arguments, settings={}, log=tmp_path / "log", program=program) as demo:
        assert demo.ends(180) == 1
        assert demo.said().splitlines()[-1] == "1 stories, 0 as promised"
        assert "what the shop did" in demo.said()


def buy_and_pay(way: str, shop: str, cashier: str, desk: str) -> None:
    """As a person does: buy, choose how to pay, pay there, see at the shop that it is paid; then look at its story."""
    order, _ = browse(f"{shop}/orders", buyer=way, item="tea")
    assert browse(f"{shop}/orders", buyer=way, item="tea")[0] == order, "a double click is one order"
    with pytest.raises(urllib.error.HTTPError) as unheard:
        browse(f"{desk}/orders/{order.rpartition('/')[2]}")
    assert "nobody has chosen how to pay" in unheard.value.read().decode()
    given = on_page(browse(f"{order}/pay", way=way)[1])
    if way == "wechat":
        page = f"{cashier}/cashier/{given['code_url'].partition('pr=')[2]}"
        assert page.removeprefix(cashier) in browse(cashier)[1]
        browse(f"{page}/pay", by="hand")
    elif way == "alipay":
        page, _ = browse(given["url"])
        browse(f"{page}/login", account="payer@example.test")
        assert browse(f"{page}/pay", by="hand")[0] == order, "the payer is led back"
    else:
        page, _ = browse(given["form"]["action"], **given["form"]["fields"])
        back = on_page(browse(f"{page}/pay", by="hand")[1])["form"]
        assert browse(back["action"], **back["fields"])[0] == order, "the payer is led back"
    wait(lambda: ", paid" in browse(order)[1], "the news")
    assert "ship" in browse(desk)[1]
    assert "evidence.taken" in browse(f"{desk}/orders/{order.rpartition('/')[2]}")[1]


def browse(url: str, **form: str) -> tuple[str, str]:
    """Open an address, or send a form there; where that leads, and the page."""
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data) as page:
        return page.url, page.read().decode()


def test_it_plays_from_an_installed_package(tmp_path: Path) -> None:
    site = unpacked_wheel(tmp_path)
    command = [sys.executable, "-m", "oncepay", "demo", "--once", "--story", "asks", "--home", str(tmp_path / "home")]
    environ = {**os.environ, "PYTHONPATH": str(site)}
    played = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=180, check=False
    )
    assert played.stdout.splitlines()[-1] == "1 stories, 1 as promised", played.stdout + played.stderr
    packed = site / "oncepay" / "cli" / "demo" / "shop_flask" / "shop.py"
    assert packed.read_bytes() == (EXAMPLE / "shop.py").read_bytes()


def test_what_it_needs_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(play, "find_spec", lambda name: None if name == "flask" else name)
    with pytest.raises(SystemExit) as ended:
        cli.run(["demo", "--once"])
    assert ended.value.code == exits.SETTINGS
    assert capsys.readouterr().err == "oncepay: the demonstration needs flask; cure: pip install 'oncepay[demo]'\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("demo", "--once", "--story", "abandoned", "--home", "HOME"), "is not empty"),
        (("drill", "--keep", "HOME"), "is not empty"),
        (("drill", "--report", "HOME/absent/drill"), "no folder"),
        (("demo", "--once", "--story", "nobody tells this"), "no story"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    said: tuple[str, ...], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "master.key"
    key.write_text("of an installation")
    assert cli.run([word.replace("HOME", str(tmp_path)) for word in said]) == exits.USAGE
    assert why in capsys.readouterr().err
    assert (key.read_text(), [*tmp_path.iterdir()]) == ("of an installation", [key])


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ("demo", "--once", "--port-base", str(port), "--home", str(tmp_path / "home"))
        with running(*arguments, settings={}, log=tmp_path / "log") as demo:
            assert demo.ends() == 1
            assert "cannot start" in demo.said()
            assert f"cannot listen on 127.0.0.1:{port}" in demo.said()
            assert "Traceback" not in demo.said()


# -- the judge -----------------------------------------------------------------------------------------------------


def snapshot(version: int, **more: Any) -> dict[str, Any]:
    """A payment as the centre tells it."""
    return {
        "id": "pay_1", "order_no": "A-1", "version": version, "status": "open", "closing": False, "minor": 8800,
        "currency": "CNY", "subject": "Tea", "created_ms": 0, "deadline_ms": 1, "kept_minor": 0, "paid": None,
        "closed": None, "refunds": [], **more,
    }  # fmt: skip


MOVED = {"attempt": "att_1", "channel": "c", "method": "m", "trade_no": "t", "minor": 8800, "paid_ms": 1}
PAID = snapshot(1, status="paid", kept_minor=8800, paid=MOVED)
BACK = {
    "refund_no": "r1", "minor": 800, "status": "done", "origin": "app", "why": "", "created_ms": 2, "settled_ms": 3
}  # fmt: skip
ROW = {"number": "N00", "state": "SUCCESS", "paid": 8800, "refunded": 0, "refunds": []}
RETURNED = {"number": "R", "amount": 1, "status": "SUCCESS"}
PROMISE = Promise(status="paid", charged=8800, deeds=("ship",))


ORDER = Order(
    order_no="A-1", item="tea", minor=8800, status="paid", payment="pay_1", version=1, deeds=(Deed("ship", 8800),)
)


def test_a_shop_that_acts_on_repeats_does_not_please_the_judge() -> None:
    assert complaints(PROMISE, [ROW], PAID, ORDER) == []
    assert complaints(PROMISE, [ROW], PAID, msgspec.structs.replace(ORDER, deeds=ORDER.deeds * 2)) == [
        "what the shop did: ['ship', 'ship'], not ['ship']",
        "the channel holds 8800, the centre keeps 8800, the shop has 17600",
    ]


@pytest.mark.parametrize(
    ("rows", "payment", "says"),
    [
        ([], PAID, "the channel has 0 orders"),
        ([ROW, {**ROW, "number": "N01"}], PAID, "the channel's charges: 17600, not 8800"),
        ([{**ROW, "refunded": 1}], PAID, "what the channel returned: 1, not 0"),
        ([{**ROW, "refunds": [RETURNED]}], PAID, "refunds at the channel: 1, not 0"),
        ([{**ROW, "refunds": [{**RETURNED, "status": "PROCESSING"}]}], PAID, "is not carried out: ['PROCESSING']"),
        ([ROW], {**PAID, "status": "open"}, "the centre's status: open, not paid"),
        ([ROW], {**PAID, "closing": True}, "still closing"),
        ([ROW], {**PAID, "kept_minor": 8799}, "the channel holds 8800, the centre keeps 8799, the shop has 8800"),
        ([ROW], {**PAID, "version": 2}, "the shop's version: 1, not 2"),
        ([ROW], {**PAID, "refunds": [{**BACK, "status": "open"}]}, "refund r1 still open"),
    ],
)
def test_what_the_judge_sees(rows: list[Any], payment: dict[str, Any], says: str) -> None:
    found = complaints(PROMISE, rows, payment, ORDER)
    assert any(says in complaint for complaint in found), found


def test_an_order_that_can_still_be_paid_is_not_closed() -> None:
    row = {**ROW, "state": "NOTPAY", "paid": 0}
    found = complaints(Promise(status="closed"), [row], snapshot(1, status="closed"), None)
    assert "the channel's order N00 is still to be paid" in found
    assert "the shop does not know the order" in found
