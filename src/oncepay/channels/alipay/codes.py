"""What each code means, call by call. A refusal is said of the call; of the attempt it says something only where the
tables say ``REFUSED`` or ``ABSENT``. Everything else is found out by a query.

A code that means "it was paid", "it is closed" or "another request came before" is never a refusal: what had happened
before may have moved the money. Sources: the tables of each method in the official documentation. The vendor writes the
same code with several prefixes (``ACQ.X``, ``aop.ACQ.X``, the misspelt ``AQC.X``, ``X``): the last part counts. A code
that is not here is ``ASK``: a new word fails nothing. But a refund that is refused each time its number is called
again, whatever the word, is refused at last (``INSISTED``); by an error of the system nothing is refused.
"""

from __future__ import annotations

from typing import Final

from oncepay.channels.verdicts import ABSENT, ACCOUNT, ASK, BALANCE, INSISTED, MOMENT, REFUSED, Verdict
from oncepay.domain.attempt import Call

DONE: Final = "10000"
FAILED: Final = "40004"
SYSTEM_ERROR: Final = "SYSTEM_ERROR"

_COLUMNS: Final = (Call.PREPAY, Call.QUERY, Call.CLOSE, Call.CANCEL, Call.REFUND, Call.QUERY_REFUND)
_EACH: Final = dict.fromkeys(_COLUMNS, ASK)


def _only(**verdicts: Verdict) -> dict[Call, Verdict]:
    return _EACH | {Call(name): verdict for name, verdict in verdicts.items()}


_NOTHING_CERTAIN: Final = _EACH
_ACCOUNT: Final = dict.fromkeys(_COLUMNS, ACCOUNT)
_MOMENT: Final = dict.fromkeys(_COLUMNS, MOMENT)
_INSTRUCTION: Final = _only(prepay=REFUSED, refund=REFUSED)  # what it says is no good
_PAYING: Final = _only(prepay=REFUSED)
_REFUNDING: Final = _only(refund=REFUSED)

# By code: gateway and system. What it says of the request itself is found in ``SUB_CODES``.
CODES: Final = {
    "10003": _NOTHING_CERTAIN,  # the buyer is typing the password
    "20000": _NOTHING_CERTAIN,  # it may have been done
    "20001": _ACCOUNT,
    "40001": _ACCOUNT,
    "40002": _ACCOUNT,
    "40003": _ACCOUNT,
    FAILED: _NOTHING_CERTAIN,
    "40005": _MOMENT,
    "40006": _ACCOUNT,
}
GATEWAY: Final = frozenset({"20001", "40001", "40002", "40003", "40006"})

SUB_CODES: Final = {
    SYSTEM_ERROR: _NOTHING_CERTAIN,
    # Of this request.
    "INVALID_PARAMETER": _INSTRUCTION,
    "INVALID-PARAMETER": _INSTRUCTION,
    "ILLEGAL-JSON": _INSTRUCTION,
    "SUSPECTED-ATTACK": _INSTRUCTION,
    "SUB_GOODS_SIZE_MAX_COUNT": _PAYING,
    # Of the merchant: nothing works until a person has mended it.
    "PARTNER_ERROR": _ACCOUNT,
    "ACCESS_FORBIDDEN": _ACCOUNT,
    "INVALID_RECEIVE_ACCOUNT": _ACCOUNT,
    "MERCHANT_STATUS_NOT_NORMAL": _ACCOUNT,
    # Of the trade. "Not there" is no failure: before its payer is known, a trade is not there.
    "TRADE_NOT_EXIST": _only(query=ABSENT, close=ABSENT, cancel=ABSENT, refund=REFUSED, query_refund=ABSENT),
    "TRADE_HAS_SUCCESS": _NOTHING_CERTAIN,
    "TRADE_HAS_CLOSE": _NOTHING_CERTAIN,  # or it was paid and then refunded in full
    "CONTEXT_INCONSISTENT": _NOTHING_CERTAIN,  # the number is in use, and that trade is alive
    "TRADE_STATUS_ERROR": _REFUNDING,  # of a close: it may just have been paid
    "REASON_TRADE_STATUS_INVALID": _REFUNDING,
    "REASON_ILLEGAL_STATUS": _REFUNDING,
    "TRADE_HAS_FINISHED": _REFUNDING,
    "TRADE_CANCEL_TIME_OUT": _NOTHING_CERTAIN,
    "CANCEL_NOT_ALLOWED": _NOTHING_CERTAIN,
    # Of the refund.
    "TRADE_NOT_ALLOW_REFUND": _REFUNDING,
    "NOT_ALLOW_PARTIAL_REFUND": _REFUNDING,
    "ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND": _REFUNDING,
    "REFUND_AMT_NOT_EQUAL_TOTAL": _REFUNDING,
    "REASON_TRADE_REFUND_FEE_ERR": _REFUNDING,
    "REFUND_FEE_ERROR": _REFUNDING,
    "DISCORDANT_REPEAT_REQUEST": _NOTHING_CERTAIN,  # this number has succeeded, with another amount
    "SELLER_BALANCE_NOT_ENOUGH": _only(refund=BALANCE),
    "REFUND_CHARGE_ERROR": _only(refund=MOMENT),
    "REASON_TRADE_BEEN_FREEZEN": _REFUNDING,
    "BUYER_ERROR": _REFUNDING,
    "BUYER_NOT_EXIST": _REFUNDING,
    "REFUND_ACCOUNT_NOT_EXIST": _REFUNDING,
    "CUSTOMER_VALIDATE_ERROR": _REFUNDING,
    "ALLOC_AMOUNT_VALIDATE_ERROR": _REFUNDING,
    "REFUNDALLOC_UNAUTH_LIMIT": _REFUNDING,
    "ENTERPRISE_PAY_BIZ_ERROR": _REFUNDING,
    # Of the buyer, or of risk.
    "BUYER_SELLER_EQUAL": _PAYING,
    "TRADE_BUYER_NOT_MATCH": _PAYING,
    "BUYER_BALANCE_NOT_ENOUGH": _PAYING,
    "BUYER_BANKCARD_BALANCE_NOT_ENOUGH": _PAYING,
    "PAYMENT_AUTH_CODE_INVALID": _PAYING,
    "BEYOND_PAY_RESTRICTION": _PAYING,
    "TOTAL_FEE_EXCEED": _PAYING,
    "PAYMENT_REQUEST_HAS_RISK": _PAYING,
    "RISK_MERCHANT_IP_NOT_EXIST": _PAYING,
    "EXIST_FORBIDDEN_WORD": _PAYING,
    "PAYMENT_FAIL": _NOTHING_CERTAIN,  # of this try at the counter
    "NOW_TIME_AFTER_EXPIRE_TIME_ERROR": _PAYING,
    "APPLY_PC_MERCHANT_CODE_ERROR": _PAYING,
}
# Families of codes, by how they begin.
FAMILIES: Final = {"SUB_MERCHANT_": _ACCOUNT, "BEYOND_PER_RECEIPT_": _PAYING}


def last_part(sub_code: str) -> str:
    """A sub code without what stands before it.

    >>> last_part("aop.ACQ.SYSTEM_ERROR"), last_part("isv.invalid-parameter")
    ('SYSTEM_ERROR', 'INVALID-PARAMETER')
    """
    return sub_code.rpartition(".")[2].strip().upper()


def verdict(call: Call, code: str, sub_code: str, *, calls: int = 1) -> Verdict:
    """What a signed refusal means. What business systems say (40004), and the gateway of what a request holds (40002),
    is looked up by its sub code. ``calls``: of the attempt's number so far."""
    row, part = CODES.get(code, _NOTHING_CERTAIN), last_part(sub_code)
    if code in {"40002", FAILED}:
        family = next((found for head, found in FAMILIES.items() if part.startswith(head)), row)
        row = SUB_CODES.get(part, family)
    if row[call] is ASK and call is Call.REFUND and code == FAILED and part != SYSTEM_ERROR and calls >= INSISTED:
        return REFUSED
    return row[call]


def unsigned(code: str, sub_code: str) -> Verdict:
    """What a refusal without a signature means: the gateway does not know the app, or it is too busy, or it does not
    like what this one request holds, which is no reason to hold up others. Never anything about money."""
    if code in GATEWAY:
        return ASK if SUB_CODES.get(last_part(sub_code)) is _INSTRUCTION else ACCOUNT
    return MOMENT if code == "40005" else ASK
