"""A consumer from a shell: found, run, and ended in order."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from oncepay.client.queues.__main__ import main

SRC: Final = Path(__file__).parents[3] / "src"
MODULE: Final = """
import sqlite3
from oncepay.client.guards import AsyncInbox, Inbox, link_of, transactions
from oncepay.client.guards.milestones import WORDS
from oncepay.client.queues import AsyncConsumer, Consumer

SECRET = "whsec_" + "A" * 32
URL = "redis://127.0.0.1:1/0?stream=news"  # nobody is there: it is waited for
begin = transactions.dbapi(lambda: sqlite3.connect("shop.db"))
with begin() as db:
    link_of(db).make_tables()
inbox, async_inbox = Inbox(begin), AsyncInbox(begin)
for each in (inbox, async_inbox):
    each.ignore(*WORDS)


class Telling(Consumer):
    def run(self):
        print("running", flush=True)
        super().run()
        print("done with it", flush=True)


class AsyncTelling(AsyncConsumer):
    async def run(self):
        print("running", flush=True)
        await super().run()
        print("done with it", flush=True)


ready = Telling(URL, SECRET, inbox)


def make():
    return Telling(URL, SECRET, inbox)


async def make_async():
    return AsyncTelling(URL, SECRET, async_inbox)
"""


@pytest.mark.parametrize("name", ["ready", "make", "make_async"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_goes_on_until_it_is_told(tmp_path: Path, name: str, ending: signal.Signals) -> None:
    (tmp_path / "shop.py").write_text(MODULE)
    with subprocess.Popen(
        [sys.executable, "-m", "oncepay.client.queues", f"shop:{name}"],
        cwd=tmp_path, env={"PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(ending)
        assert process.wait(30) == 0
        assert process.stdout.read() == "done with it\n"


@pytest.mark.parametrize("text", ["shop", "shop:", ":consumer"])
def test_a_name_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([text])
    assert ended.value.code == 2
    assert f"{text!r} is not like shop.payments:consumer" in capsys.readouterr().err
