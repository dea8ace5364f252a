"""What each error code means, call by call. A refusal is said of the call; of the attempt it says something only
where the table says ``REFUSED`` or ``ABSENT``. Everything else is found out by a query.

Sources: the tables 错误码 of each call in the official documentation; older pages spell the same codes without
underscores, so both spellings are one. A code that is not here is ``ASK``: a new word fails nothing.

But a refund that is refused each time its number is called again is refused at last (``INSISTED``): ``INVALID_REQUEST``
says that nothing is left to refund, too. Till then more than the minute has passed that must lie between two refunds
of an order, of which it is said as well.
"""

from __future__ import annotations

from typing import Final

from oncepay.channels.verdicts import ABSENT, ACCOUNT, ASK, BALANCE, INSISTED, MOMENT, REFUSED, Verdict
from oncepay.domain.attempt import Call

_COLUMNS: Final = (Call.PREPAY, Call.QUERY, Call.CLOSE, Call.REFUND, Call.QUERY_REFUND)
_ROWS: Final = {
    #                          prepay   query    close    refund   query_refund
    "PARAM_ERROR":            (REFUSED, ASK,     ASK,     REFUSED, ASK),
    # Also said of a number that is in use already: of prepay "201 商户订单号重复", of a refund "…与之前请求不一致".
    "INVALID_REQUEST":        (ASK,     ASK,     ASK,     ASK,     ASK),
    "OUT_TRADE_NO_USED":      (ASK,     ASK,     ASK,     ASK,     ASK),
    "REFUND_FEE_MISMATCH":    (ASK,     ASK,     ASK,     ASK,     ASK),
    "ORDER_PAID":             (ASK,     ASK,     ASK,     ASK,     ASK),
    "ORDER_CLOSED":           (ASK,     ASK,     ASK,     REFUSED, ASK),
    "ORDER_NOT_EXIST":        (ASK,     ABSENT,  ABSENT,  ASK,     ASK),
    "RESOURCE_NOT_EXISTS":    (ASK,     ASK,     ASK,     REFUSED, ABSENT),
    "TRADE_ERROR":            (ASK,     ASK,     ASK,     ASK,     ASK),
    "TRADE_OVERDUE":          (ASK,     ASK,     ASK,     REFUSED, ASK),
    "USERPAYING":             (ASK,     ASK,     ASK,     ASK,     ASK),
    # Of the payer: an account that is blocked, an openid of another app. Older pages give the latter as 500.
    "ACCOUNT_ERROR":          (REFUSED, ASK,     ASK,     ASK,     ASK),
    "USER_ACCOUNT_ABNORMAL":  (ASK,     ASK,     ASK,     REFUSED, ASK),
    "OPENID_MISMATCH":        (REFUSED, ASK,     ASK,     ASK,     ASK),
    "INVALID_TRANSACTIONID":  (REFUSED, ASK,     ASK,     ASK,     ASK),
    # Of the merchant: nothing works until a person has mended it.
    "SIGN_ERROR":             (ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT),
    "NO_AUTH":                (ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT),
    "MCH_NOT_EXISTS":         (ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT),
    "APPID_MCHID_NOT_MATCH":  (ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT),
    # Not enough: of a payer where a payer is debited, of the merchant where it refunds.
    "NOT_ENOUGH":             (ASK,     ASK,     ASK,     BALANCE, ASK),
    # Of the moment: the same number again, later. A rule that a refund breaks may be one for good.
    "RULE_LIMIT":             (MOMENT,  MOMENT,  MOMENT,  ASK,     MOMENT),
    "FREQUENCY_LIMITED":      (MOMENT,  MOMENT,  MOMENT,  MOMENT,  MOMENT),
    "FREQUENCY_LIMIT_EXCEED": (MOMENT,  MOMENT,  MOMENT,  MOMENT,  MOMENT),
    "RATELIMIT_EXCEEDED":     (MOMENT,  MOMENT,  MOMENT,  MOMENT,  MOMENT),
    "SYSTEM_ERROR":           (ASK,     ASK,     ASK,     ASK,     ASK),
    "BANK_ERROR":             (ASK,     ASK,     ASK,     ASK,     ASK),
    "SERVICE_UNAVAILABLE":    (ASK,     ASK,     ASK,     ASK,     ASK),
}  # fmt: skip


def one_spelling(code: str) -> str:
    """Older pages write the same codes without underscores.

    >>> one_spelling("ORDER_PAID") == one_spelling("ORDERPAID")
    True
    """
    return code.replace("_", "").upper()


VERDICTS: Final = {one_spelling(code): dict(zip(_COLUMNS, row, strict=True)) for code, row in _ROWS.items()}
# The only codes that mean what they say under a status of 500 and above.
_DEFINITE_AT_500: Final = frozenset({one_spelling("OPENID_MISMATCH"), one_spelling("INVALID_TRANSACTIONID")})


def verdict(call: Call, status: int, code: str, *, calls: int = 1) -> Verdict:
    """What a signed refusal means. ``status``: of HTTP, 400 and above; ``calls``: of the attempt's number so far."""
    spelled = one_spelling(code)
    if status == 429:
        return MOMENT
    if status >= 500 and spelled not in _DEFINITE_AT_500:
        return ASK
    row = VERDICTS.get(spelled)
    found = ASK if row is None else row.get(call, ASK)
    if found is ASK and call is Call.REFUND and status < 500 and calls >= INSISTED:
        return REFUSED
    return ASK if found is ABSENT and status != 404 else found
