"""What an app or a channel wrote, in the terminal and the log of an operator: words, whatever stands in it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from oncepay.assembly import assemble, set_up_logging
from oncepay.config import from_env
from oncepay.domain.change import CaseOpened, Verb
from oncepay.engine import cases, pay
from tests.wire.cli import Shell

FORGED = "It is paid: attempt 00 moved the money."
NASTY = f"Tea\x1b[1A\x1b]0;x\x07\r\n{FORGED}\u2028{FORGED}\u202e\x9b2J茶\u3000杯"
WORDS = "茶\u3000杯"


async def _seeded(settings: dict[str, str]) -> str:
    """A payment of the app's with such a subject, and a case of it with such a note; the id of the case."""
    centre = await assemble(from_env(settings))
    try:
        engine = centre.engine
        now_ms = engine.clock.now_ms()
        new = pay.NewPayment(order_no="A-1", minor=8800, currency="CNY", subject=NASTY, deadline_ms=now_ms + 3_600_000)
        payment = (await pay.create(engine, engine.directory.app("shop"), new, None)).payment
        case = CaseOpened(about=payment.id, kind="unsettled", text=NASTY, payment_id=payment.id)
        case_id = await engine.ledger.open_case(case, now_ms)
        row = await engine.ledger.case(case_id)
        assert row is not None
        await cases.act(engine, row, cases.Wish(verb=Verb.NOTE, actor="app:shop", reason=NASTY))
        return case_id
    finally:
        await centre.stop(0)


def test_a_text_forges_no_line_in_the_terminal(shell: Shell) -> None:
    shell.good("app", "create", "shop")
    case_id = asyncio.run(_seeded(shell.settings))
    of_order = ("--app", "shop", "--order-no", "A-1")
    for command in (("show", *of_order), ("explain", *of_order), ("cases", "show", case_id), ("cases", "list")):
        said = shell.good(*command)
        assert WORDS in said or command[1] == "list"
        assert [line for line in said.splitlines() if line.lstrip().startswith(FORGED)] == []
        assert [c for c in said if c != "\n" and not c.isprintable() and c not in WORDS] == []


def test_a_text_forges_no_line_in_the_log(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(from_env(shell.settings))
    # As a broker of an app's says it when it closes a channel, and as it stands then in ``Outcome.why``.
    logging.getLogger("oncepay").warning("endpoint.resting why=%s", f"ChannelPreconditionFailed: {NASTY}")
    said = capsys.readouterr().err
    assert said.count("\n") == len(said.splitlines()) == 1
    assert WORDS in said
    assert [c for c in said if c != "\n" and not c.isprintable() and c not in WORDS] == []
