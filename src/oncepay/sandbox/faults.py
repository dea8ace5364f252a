"""The menu of faults: what can go wrong at a vendor, on the wire, and with notifications.

A fault strikes by a rate, once (or ``times``), or always ("on"). Rates are drawn from the dice, so
a seeded sandbox misbehaves the same way each time. One menu for all vendors: each plays what it knows,
in its own words (the ones in brackets are WeChat Pay's); ``"channel"`` keeps a rule to one of them.
The shape that ``PUT /sandbox/faults`` takes::

    {"rates": {"drop_after": 0.1, "slow": {"rate": 0.05, "seconds": 3}},
     "once":  [{"fault": "drop_after", "call": "prepay", "number": "A1", "times": 2}],
     "on":    {"refused_401": {"call": "refund"}, "notify_none": true}}

Each of the three parts replaces that part when it is given; unknown names are refused.
"""

from typing import Any, Final

import msgspec

from oncepay.sandbox.clock import Dice

# name -> (where it strikes, what it does). Where: "call" is any API call.
MENU: Final = {
    # on the way in: nothing has happened yet
    "drop_before": ("call", "connection closed before the request is processed"),
    "system_error": ("call", "the vendor's own 'system error' before processing"),
    "http_500": ("call", "500 before processing"),
    "http_502": ("call", "502 with a gateway's HTML page before processing"),
    "http_503": ("call", "503 before processing"),
    "http_429": ("call", "called too often (429 FREQUENCY_LIMITED)"),
    "refused_401": ("call", "the account is refused (401 SIGN_ERROR)"),
    "refused_403": ("call", "the account may not do this (403 NO_AUTH)"),
    "not_enough": ("refund", "the balance is too low (403 NOT_ENOUGH), and no refund record"),
    "answer_03": ("call", "UnionPay: respCode 03, unknown, before processing"),
    "answer_04": ("call", "UnionPay: respCode 04, unknown, before processing"),
    "answer_05": ("call", "UnionPay: respCode 05, in progress, before processing"),
    # on the way out: the effect is there, the answer is not what it should be
    "drop_after": ("call", "processed, then connection closed without an answer"),
    "system_error_after": ("call", "the vendor's own 'system error' after processing"),
    "http_500_after": ("call", "500 after processing"),
    "http_502_after": ("call", "502 with a gateway's HTML page after processing"),
    "http_503_after": ("call", "503 after processing"),
    "http_429_after": ("call", "called too often, after processing"),
    "answer_03_after": ("call", "UnionPay: respCode 03, unknown, after processing"),
    "answer_04_after": ("call", "UnionPay: respCode 04, unknown, after processing"),
    "answer_05_after": ("call", "UnionPay: respCode 05, in progress, after processing"),
    "slow": ("call", "processed, answered after `seconds` (default 30)"),
    "slow_drip": ("call", "processed, the body byte by byte, `seconds` (default 0.5) apart"),
    "garbage": ("call", "processed, then bytes that are not HTTP"),
    "truncated": ("call", "processed, the body cut off in the middle"),
    "signtest_response": ("call", "a probe signature, WECHATPAY/SIGNTEST/..."),
    "forged_200": ("call", "the answer unsigned, or signed by a stranger (`how`: unsigned, other)"),
    "cert_lf": ("call", "UnionPay: the certificate's CR lost on the way; with call `notify`, a notice's"),
    "cert_expired": ("call", "UnionPay: signed with a certificate out of date; notices too"),
    "cert_foreign": ("call", "UnionPay: signed with another company's certificate of the same chain; notices too"),
    "cert_stranger": ("call", "UnionPay: signed with a certificate that is not of the chain; notices too"),
    "cert_sha1": ("call", "UnionPay: to be believed, though the certificate is signed with SHA-1; notices too"),
    "stale_200": ("call", "validly signed, but with a timestamp 10 minutes old"),
    # what the payer and the money do
    "late_pay": ("pay", "paid, but `queries` (default 3) queries still show it unpaid"),
    "late_bank": ("pay", "UnionPay: an internet bank pays after payTimeout; 42, and it goes back by itself"),
    "paid_a6": ("pay", "UnionPay: paid with a defect, A6"),
    "paid_during_close": ("close", "the payment lands between query and close"),
    "pay_after_close": ("pay", "the payer can pay although the order is closed or expired"),
    "refund_abnormal": ("refund", "the refund ends ABNORMAL"),
    "refund_closed": ("refund", "the refund ends CLOSED; at UnionPay it fails with respCode `how` (default 01)"),
    "refund_late": ("refund", "the refund takes `seconds` (default 3600) on the sandbox's clock"),
    # notifications; the first four are drawn once a notification, the others once a delivery
    "notify_none": ("notify", "never delivered, no retries either"),
    "notify_late": ("notify", "first delivery after `seconds` (default 60) on the sandbox's clock"),
    "notify_reordered": ("notify", "held until the order's next notification has been delivered"),
    "notify_wrong_amount": ("notify", "validly signed, with another amount (`amount`, fen)"),
    "notify_lost": ("notify", "this delivery is lost on the way; the schedule goes on"),
    "notify_duplicate": ("notify", "delivered twice although it was taken"),
    "notify_forged": ("notify", "this delivery is signed by a stranger; the schedule goes on"),
    "notify_xml": ("notify", "version 2 XML instead of version 3 JSON"),
    "signtest_notify": ("notify", "a probe signature; the next delivery is right"),
    "pubkey_mix": ("notify", "signed by the public key instead of the certificate"),
    # keys and bills
    "cert_rotate": ("call", "a new platform certificate signs from this call on"),
    "bill_creating": ("bill", "400 STATEMENT_CREATING"),
    "bill_none": ("bill", "400 NO_STATEMENT_EXIST"),
    "bill_hash_wrong": ("bill", "a hash that does not fit the file"),
    "bill_row_missing": ("bill", "a row of `number` (or the first) left out"),
    "bill_row_extra": ("bill", "a payment nobody knows added"),
    "bill_amount_wrong": ("bill", "one fen more on a row of `number` (or the first)"),
}
# What all vendors know, in the order in which it strikes: instead of the call, or instead of its answer.
BEFORE: Final = (
    "drop_before", "refused_401", "refused_403", "system_error", "http_500", "http_502", "http_503", "http_429",
)  # fmt: skip
AFTER: Final = (
    "drop_after", "system_error_after", "http_500_after", "http_502_after", "http_503_after", "http_429_after", "slow",
    "slow_drip", "garbage", "truncated",
)  # fmt: skip
# Those that the server, not a vendor, carries out: they concern the connection.
WIRE: Final = frozenset(("drop_before", "drop_after", "slow", "slow_drip", "garbage", "truncated"))
CALLS: Final = frozenset(
    (
        "prepay",
        "open",
        "query",
        "close",
        "cancel",
        "refund",
        "refund_query",
        "abnormal_refund",
        "certificates",
        "bill",
        "bill_download",
        "notify",
        "pay",
    )
)


class FaultInvalid(Exception):
    """The faults asked for make no sense; the text says what and what would."""


class Rule(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One fault with when it strikes and how it does."""

    fault: str
    channel: str | None = None  # only at this vendor
    call: str | None = None  # only at this call; None: wherever the fault applies
    number: str | None = None  # only for this order or refund number
    rate: float = 1.0
    times: int | None = None  # how often it may still strike; None: without end
    seconds: float | None = None
    queries: int | None = None
    amount: int | None = None
    how: str | None = None

    def __post_init__(self) -> None:
        if self.fault not in MENU:
            raise ValueError(f"no fault {self.fault!r}; there are {', '.join(sorted(MENU))}")
        if self.call is not None and self.call not in CALLS:
            raise ValueError(f"no call {self.call!r}; there are {', '.join(sorted(CALLS))}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"{self.fault}: rate {self.rate} is not between 0 and 1")


class Faults:
    """The rules in force. Asking is free while there are none."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._once: list[Rule] = []
        self._rates: list[Rule] = []
        self._on: list[Rule] = []
        self.rules: dict[str, list[Rule]] = {}
        self.struck: dict[str, int] = {}

    def replace(self, wanted: Any) -> None:
        """Put the parts that are given in place of what was there.

        Raises FaultInvalid, and changes nothing, when any part of it is wrong.
        """
        once, rates, on = _read(wanted)
        self._once = self._once if once is None else once
        self._rates = self._rates if rates is None else rates
        self._on = self._on if on is None else on
        self._sort()

    def add(self, wanted: Any) -> None:
        """Add to what is in force; a rate or "on" of the same name is replaced."""
        once, rates, on = _read(wanted)
        self._once += once or []
        self._rates = _merge(self._rates, rates or [])
        self._on = _merge(self._on, on or [])
        self._sort()

    def clear(self) -> None:
        """No faults from now on."""
        self._once, self._rates, self._on = [], [], []
        self._sort()

    def shown(self) -> dict[str, Any]:
        """What is in force, and how often each fault has struck."""
        return {
            "rates": {rule.fault: msgspec.to_builtins(rule) for rule in self._rates},
            "once": [msgspec.to_builtins(rule) for rule in self._once],
            "on": {rule.fault: msgspec.to_builtins(rule) for rule in self._on},
            "struck": self.struck,
        }

    def at(self, channel: str) -> "ChannelFaults":
        """The same rules as one vendor meets them."""
        return ChannelFaults(self, channel)

    def strike(self, fault: str, call: str, *numbers: str, channel: str = "") -> Rule | None:
        """Whether ``fault`` strikes at ``call`` for one of these numbers; uses a one-shot up."""
        rules = self.rules.get(fault)
        if not rules:
            return None
        for rule in rules:
            if rule.channel is not None and rule.channel != channel:
                continue
            if rule.call is not None and rule.call != call:
                continue
            if rule.number is not None and rule.number not in numbers:
                continue
            if rule.rate < 1 and self._dice.random() >= rule.rate:
                continue
            self.struck[fault] = self.struck.get(fault, 0) + 1
            if rule.times is not None:
                rule.times -= 1
                if rule.times <= 0:
                    self._once.remove(rule)
                    self._sort()
            return rule
        return None

    def _sort(self) -> None:
        self.rules = {}
        for rule in [*self._once, *self._on, *self._rates]:
            self.rules.setdefault(rule.fault, []).append(rule)


class ChannelFaults:
    """The rules in force, asked by one vendor."""

    def __init__(self, faults: Faults, channel: str) -> None:
        self._faults = faults
        self._channel = channel

    @property
    def rules(self) -> dict[str, list[Rule]]:
        return self._faults.rules

    def strike(self, fault: str, call: str, *numbers: str) -> Rule | None:
        """Whether ``fault`` strikes at ``call`` for one of these numbers; uses a one-shot up."""
        return self._faults.strike(fault, call, *numbers, channel=self._channel)

    def any(self, faults: tuple[str, ...], call: str, *numbers: str) -> Rule | None:
        """The first of these faults that strikes."""
        if not self._faults.rules:
            return None
        for fault in faults:
            rule = self.strike(fault, call, *numbers)
            if rule is not None:
                return rule
        return None


def _read(wanted: Any) -> tuple[list[Rule] | None, list[Rule] | None, list[Rule] | None]:
    """The three parts as rules: (once, rates, on); None for a part that is not given."""
    if not isinstance(wanted, dict) or wanted.keys() - {"once", "rates", "on"}:
        raise FaultInvalid('faults are {"rates": {...}, "once": [...], "on": {...}}')
    once = rates = on = None
    if "once" in wanted:
        if not isinstance(wanted["once"], list):
            raise FaultInvalid('"once" is a list of {"fault": ..., "call": ..., "number": ...}')
        once = [_rule(item if isinstance(item, dict) else {"fault": item}) for item in wanted["once"]]
        for rule in once:
            rule.times = 1 if rule.times is None else rule.times
    if "rates" in wanted:
        rates = [
            _rule({"fault": fault, **(value if isinstance(value, dict) else {"rate": value})})
            for fault, value in _named(wanted, "rates")
        ]
    if "on" in wanted:
        on = [
            _rule({"fault": fault, **(value if isinstance(value, dict) else {})})
            for fault, value in _named(wanted, "on")
            if value is not False
        ]
    return once, rates, on


def _named(wanted: dict[str, Any], part: str) -> list[tuple[str, Any]]:
    if not isinstance(wanted[part], dict):
        raise FaultInvalid(f'"{part}" is an object keyed by fault')
    return list(wanted[part].items())


def _rule(item: Any) -> Rule:
    try:
        return msgspec.convert(item, Rule)
    except msgspec.ValidationError as error:
        raise FaultInvalid(str(error)) from None


def _merge(old: list[Rule], new: list[Rule]) -> list[Rule]:
    names = {rule.fault for rule in new}
    return [rule for rule in old if rule.fault not in names] + new
