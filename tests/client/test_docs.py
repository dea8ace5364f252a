"""The guide's program, as it stands: it is of the types that it says, and it runs against a real centre."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from oncepay.publishers.signing import sign
from tests.client.wire_vectors import NEW
from tests.wire.api import Api, open_api

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "integrate" / "client.md").read_text("utf-8")
PROGRAM: Final = "\n\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_the_program_of_the_guide_is_strictly_typed(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(
        [*command, str(tmp_path / "shop.py")], cwd=ROOT / "src", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_the_program_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    async with open_api() as api:
        shop: dict[str, Any] = {}
        text = PROGRAM.replace("http://127.0.0.1:8480", api.engine.settings.public_url)
        exec(text.replace("onc_...", api.town.key).replace('"whsec_..."', f'"{NEW}"'), shop)
        await asyncio.to_thread(play, api, shop, asyncio.get_running_loop())
        assert await shop["unpaid"]() == []
        shop["client"].close()
    assert capsys.readouterr().out == "ship A-1\nrefused: the header webhook-id is missing\n"


async def pays(api: Api, attempt: str) -> None:
    api.town.sandbox.pay(attempt.removeprefix("att_"))
    await api.town.quiet()


def play(api: Api, shop: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
    """A day of the shop, in a thread of its own."""
    code = shop["try_to_pay"]("A-1", 8800)
    assert code == shop["show_code"]("A-1", 8800)
    assert code.startswith("weixin://")
    payment = shop["client"].payments.of_order("A-1")
    assert shop["is_paid"](payment.id) is False
    asyncio.run_coroutine_threadsafe(pays(api, payment.attempts[0].id), loop).result(10)
    assert shop["wait_for_news"](payment.id, 0) is True
    assert shop["is_paid"](payment.id) is True
    cursor = shop["catch_up"]("")
    assert shop["catch_up"](cursor) == cursor
    assert shop["try_to_pay"]("A-1", 8800) == "One moment, please.", "there is nothing to scan any more"

    (event,) = api.town.shop.heard
    body = json.dumps(event).encode()
    now = api.town.now_ms / 1000
    assert shop["webhook"](sign((NEW,), event["id"], int(now), body), body, now) == 204
    assert shop["webhook"]({}, body, now) == 400
    assert shop["give_back"](payment.id, "R-1", 800) == "open"
    assert shop["give_back"](payment.id, "R-1", 800) in {"open", "done"}
