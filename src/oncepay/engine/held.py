"""Held money: what came in, fits no order, and was left to a person who has not decided. It is not ours: in the last
days in which its channel takes refunds it goes back, by the same verb that a person has, and only when the channel says
once more that it moved."""

from __future__ import annotations

from typing import Final

from oncepay.domain.change import Verb
from oncepay.domain.errors import OncepayError
from oncepay.domain.settle import LAST_DAYS_MS
from oncepay.engine.cases import Wish, act
from oncepay.engine.core import Engine, log
from oncepay.ports import CaseRow, Page

PAGE: Final = 100
GIVE_BACK: Final = Wish(
    verb=Verb.REFUND, actor="oncepay", reason="Nobody has decided, and the channel will not take refunds much longer."
)


async def give_back_held(engine: Engine) -> int:
    """Try it for every case whose time has come; how many went back. What the channel does not confirm is asked about
    again at the next round."""
    now_ms, done, page = engine.clock.now_ms(), 0, Page(limit=PAGE)
    while True:
        rows, after = await engine.ledger.cases(page)
        for row in rows:
            if row.kind == "wrong_content" and row.due_ms and row.due_ms <= now_ms < row.due_ms + LAST_DAYS_MS:
                done += await _give_back(engine, row)
        if not after:
            return done
        page = Page(limit=PAGE, after=after)


async def _give_back(engine: Engine, row: CaseRow) -> bool:
    try:
        return await act(engine, row, GIVE_BACK)
    except OncepayError as error:
        log.warning("held.kept case=%s payment=%s why=%s", row.id, row.payment_id, error.detail)
    except Exception:  # a payment on which the core raises must not hold up the others
        log.exception("held.failed case=%s payment=%s", row.id, row.payment_id)
    return False
