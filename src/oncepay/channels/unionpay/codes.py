"""What each respCode means: as the answer to a call, and as what became of a refund.

A refusal is said of the call; of the attempt it says something only where the table says ``REFUSED`` or ``FAILED``.
Everything else is found out by a query. Two columns are about calls that move money, one is about questions
(``respCode`` of the query itself), and one is about what a question or a notification says of a refund
(``origRespCode``). What became of a payment needs no column: see ``became_of_payment``.

Source: the tables of respCode in UnionPay's kits. A code that is not here is ``ASK``: a new word fails nothing.
"""

from __future__ import annotations

from typing import Final

from oncepay.channels.verdicts import ABSENT, ACCOUNT, ASK, BALANCE, MOMENT, REFUSED, Verdict
from oncepay.domain.attempt import Call, Fact, Reason

SUCCESS: Final = "00"
PAID: Final = frozenset({"00", "A6"})  # A6: paid, and something later went wrong
IN_PROGRESS: Final = frozenset({"03", "04", "05", "70"})  # 70: sent on, and waiting for the payer
NOT_FOUND: Final = "34"
DEBITED_LATE: Final = "42"  # debited past the time allowed; UnionPay sends it back by itself

# What is REFUSED would be refused tomorrow. What has FAILED came to nothing, and another number may fare better later.
FAILED: Final = Verdict(Fact.OVER, Reason.CLOSED)
PENDING: Final = Verdict(Fact.PENDING)
MOVED: Final = Verdict(Fact.MOVED)
# The money is back already, by a number that is not this one: somebody else gave it back. This number is asked about,
# and a person must look; neither "done" nor "failed" may be guessed.
BACK: Final = Verdict(Fact.PENDING, attention="outside_refund")

_ROWS: Final = {
    #      prepay   query    refund   of a refund
    "00": (PENDING, ASK,     PENDING, MOVED),    # accepted, not done; the query's own 00 leads to origRespCode
    "A6": (ASK,     ASK,     PENDING, MOVED),
    # Nobody knows yet.
    "03": (ASK,     ASK,     ASK,     PENDING),
    "04": (ASK,     ASK,     ASK,     PENDING),
    "05": (PENDING, ASK,     ASK,     PENDING),  # "in progress": a refund that then is not there may be sent again
    "42": (ASK,     ASK,     ASK,     PENDING),
    "70": (ASK,     ASK,     ASK,     PENDING),
    # It is there already.
    "12": (PENDING, ASK,     PENDING, PENDING),  # of this very number: the first call did arrive
    "45": (ASK,     ASK,     BACK,    BACK),
    "34": (ASK,     ABSENT,  REFUSED, ABSENT),   # of a refund call: what it reverses is not there
    # Of the moment: the same number again, later.
    "02": (MOMENT,  MOMENT,  MOMENT,  FAILED),
    "06": (MOMENT,  MOMENT,  MOMENT,  FAILED),
    "37": (MOMENT,  MOMENT,  MOMENT,  ASK),
    "39": (MOMENT,  MOMENT,  MOMENT,  FAILED),
    # Of the merchant: nothing works until a person has mended it.
    "11": (ACCOUNT, ACCOUNT, ACCOUNT, FAILED),
    "31": (ACCOUNT, ACCOUNT, ACCOUNT, FAILED),
    "32": (ACCOUNT, ACCOUNT, ACCOUNT, FAILED),
    "43": (ACCOUNT, ACCOUNT, ACCOUNT, FAILED),
    # Of the instruction.
    "10": (REFUSED, ASK,     REFUSED, REFUSED),
    "13": (REFUSED, ASK,     REFUSED, REFUSED),
    "33": (REFUSED, ASK,     REFUSED, REFUSED),
    "35": (ASK,     ASK,     REFUSED, REFUSED),  # what it reverses is missing, or in the wrong state
    "36": (ASK,     ASK,     REFUSED, REFUSED),  # it does not fit what it reverses
    # Of the payer, the card, the bank, the risk.
    "01": (REFUSED, ASK,     FAILED,  FAILED),
    "30": (REFUSED, ASK,     FAILED,  FAILED),
    "38": (REFUSED, ASK,     FAILED,  FAILED),
    "40": (REFUSED, ASK,     FAILED,  FAILED),
    "44": (REFUSED, ASK,     FAILED,  FAILED),
    **{str(code): (REFUSED, ASK, FAILED, FAILED) for code in (*range(60, 70), *range(71, 83))},
    "64": (REFUSED, ASK,     BALANCE, FAILED),   # no funds: the payer's, and of a refund the merchant's
    # Of batches and files, which we do not send.
    "14": (ASK,     ASK,     ASK,     ASK),
    "41": (ASK,     ASK,     ASK,     ASK),
    "98": (ASK,     ASK,     ASK,     ASK),
    "99": (ASK,     ASK,     ASK,     FAILED),   # "failed", to be asked about first; this column is what was answered
}  # fmt: skip

_COLUMNS: Final = (Call.PREPAY, Call.QUERY, Call.REFUND)
SAID: Final = {code: dict(zip(_COLUMNS, row[:3], strict=True)) for code, row in _ROWS.items()}
OF_REFUND: Final = {code: row[3] for code, row in _ROWS.items()}

# A merchant without the product "void" may still refund.
_NO_RIGHT: Final = frozenset({"32", "43"})


def said(call: Call, code: str, *, void: bool = False) -> Verdict:
    """What the answer to a call means. ``void``: the call was one; what becomes of it, a refund may still do."""
    column = Call.QUERY if call is Call.QUERY_REFUND else call
    found = SAID.get(code, {}).get(column, ASK)
    return _unvoided(found, code) if void else found


def became_of_refund(code: str, *, void: bool) -> Verdict:
    """What a question or a notification says of a refund."""
    found = OF_REFUND.get(code, ASK)
    return _unvoided(found, code) if void else found


def _unvoided(found: Verdict, code: str) -> Verdict:
    return FAILED if found is REFUSED or (found.fault and code in _NO_RIGHT) else found


def became_of_payment(code: str, *, expired: bool) -> Verdict:
    """What a question says of a payment. Before ``payTimeout`` nothing has failed: the payer may take another card.
    When it is surely over (``expired``), whatever the tables know has; and is asked about again, as all that expired
    is. A code that they do not know ends nothing, ever.

    42 is not paid: UnionPay sends that money back by itself within days, and a person should see that it does.
    """
    if code in PAID:
        return MOVED
    if code == NOT_FOUND:
        return ABSENT
    if code in IN_PROGRESS or code not in _ROWS or not expired:
        return PENDING
    return Verdict(Fact.OVER, Reason.EXPIRED, attention="debited_late" if code == DEBITED_LATE else "")
