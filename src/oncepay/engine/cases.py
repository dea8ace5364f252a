"""Cases: what a person must look at, and how a person is done with it."""

from __future__ import annotations

from oncepay.domain.errors import CaseAbsent, Conflict, Invalid
from oncepay.engine.core import Engine, log
from oncepay.ports import CaseRow

NOTE_MAX = 2_000


async def resolve(engine: Engine, case_id: str, note: str) -> CaseRow:
    """Close a case with a note that says what was done. Raises CaseAbsent; Conflict when it is closed already;
    Invalid without a note."""
    if not note.strip() or len(note) > NOTE_MAX:
        raise Invalid(f"note must say what was done, in 1 to {NOTE_MAX} characters", field="note")
    if await engine.ledger.case(case_id) is None:
        raise CaseAbsent
    if not await engine.ledger.resolve_case(case_id, note.strip(), engine.clock.now_ms()):
        raise Conflict("the case is closed already", case=f"case_{case_id}")
    log.info("case.resolved case=%s", case_id)
    row = await engine.ledger.case(case_id)
    if row is None:
        raise CaseAbsent
    return row
