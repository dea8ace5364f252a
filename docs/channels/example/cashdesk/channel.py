"""The cash desk as a channel: bytes in, facts out. It is read from top to bottom in ``docs/channels/adding.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from cashdesk.wire import Back, Genuine, Order, Problem, decode, signature, verified
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road
from oncepay.domain.capabilities import DAY, MIN, Capabilities, H, Method, S
from oncepay.domain.change import Credential, Evidence, Fault
from oncepay.domain.errors import Invalid, MethodUnknown, PayerInvalid
from oncepay.ports import Account, Acknowledgement, Answer, Answered, Draft, Notice, Read, Refused, Request

LIFE_MS: Final = 1 * DAY

CAPABILITIES: Final = Capabilities(
    methods={
        "counter": Method(credential="code", credential_life_ms=LIFE_MS),
        "slip": Method(credential="slip", credential_life_ms=LIFE_MS, made_by_call=False),
    },
    currencies=frozenset({"CNY", "EUR"}),
    closes=True,
    expiry_min_ms=1 * MIN,
    expiry_max_ms=LIFE_MS,
    query_at_ms=(10 * S, 20 * S, 30 * S, 1 * MIN, 5 * MIN, 30 * MIN, 2 * H, 8 * H),
    refund_count=20,
    refund_window_ms=90 * DAY,
)

ORDER_STATES: Final = {"open": Fact.PENDING, "paid": Fact.MOVED, "closed": Fact.OVER}
BACK_STATES: Final = {"taken": Fact.PENDING, "done": Fact.MOVED, "refused": Fact.OVER}


class Verdict(NamedTuple):
    """What a refusal says of the attempt that was spoken of, and what is at fault if that is not it."""

    fact: Fact
    fault: Fault = Fault.NONE


SILENCE: Final = Verdict(Fact.SILENT)
# A refusal that is not here says nothing of the attempt: it is asked about.
ERRORS: Final = {
    "no_such_order": Verdict(Fact.ABSENT),
    "no_such_refund": Verdict(Fact.ABSENT),
    "order_invalid": Verdict(Fact.OVER),
    "merchant_blocked": Verdict(Fact.SILENT, Fault.ACCOUNT),
    "till_empty": Verdict(Fact.SILENT, Fault.BALANCE),
    "too_busy": Verdict(Fact.SILENT, Fault.MOMENT),
}
QUESTIONS: Final = frozenset({Call.QUERY, Call.QUERY_REFUND})
WORDS_MAX: Final = 200


class CashDesk:
    """A translator that knows the cash desk, and nothing else."""

    name = "cashdesk"
    capabilities = CAPABILITIES

    # -- before anything is stored -----------------------------------------------------------------------------------

    def check_account(self, account: Account) -> None:
        """``identity``: merchant; ``settings``: base_url; ``secrets``: secret, 32 characters or more."""
        if not account.identity.get("merchant"):
            raise Invalid("identity.merchant is missing", field="identity.merchant")
        if len(account.secrets.get("secret", "")) < 32:
            raise Invalid("secrets.secret is missing or shorter than 32 characters", field="secrets.secret")
        parts = urlsplit(str(account.settings.get("base_url", "")))
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path:
            raise Invalid("settings.base_url is not https://host", field="settings.base_url")

    def check_start(self, method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """The desk wants to know nothing of the payer, and has no options."""
        if method not in self.capabilities.methods:
            raise MethodUnknown(f"cashdesk has no method {method!r}", field="method")
        if payer:
            raise PayerInvalid("cashdesk takes nothing of the payer", field="payer")
        if options:
            raise Invalid("cashdesk has no options", field="options")

    # -- what we say -------------------------------------------------------------------------------------------------

    def draft(self, draft: Draft, account: Account) -> bytes:
        """The first body of a number: it is stored, and sent again to the letter for as long as nobody answers."""
        attempt = draft.attempt
        body: dict[str, Any] = {
            "merchant": account.identity["merchant"],
            "number": attempt.no,
            "minor": attempt.minor,
            "currency": attempt.currency,
            "notify_url": draft.notify_url,
        }
        if attempt.incoming:
            body |= {"subject": draft.subject, "until_ms": attempt.expires_ms, "echo": f"{draft.app}:{draft.order_no}"}
        else:
            body["order"] = attempt.of
        return msgspec.json.encode(body)

    def credential(self, attempt: Attempt, account: Account, *, body: bytes) -> Credential:
        """A slip is made without a call: the first body, signed at the attempt's own time."""
        if attempt.method != "slip":
            raise MethodUnknown(f"cashdesk makes no {attempt.method!r} by itself", field="method")
        at_s = attempt.created_ms // 1000
        signed = signature(account.secrets["secret"], at_s, "slip", body)
        slip = {"type": "slip", "order": body.decode(), "time": at_s, "signature": signed}
        return Credential(body=msgspec.json.encode(slip).decode(), until_ms=attempt.expires_ms)

    def build(
        self, call: Call, attempt: Attempt, account: Account, *, body: bytes, now_ms: int, nonce: str, host: int
    ) -> Request:
        """One signed request. The desk has one host and needs no nonce."""
        number = quote(attempt.no, safe="")
        method, path = {
            Call.PREPAY: ("POST", "/orders"),
            Call.QUERY: ("GET", f"/orders/{number}"),
            Call.CLOSE: ("POST", f"/orders/{number}/close"),
            Call.REFUND: ("POST", "/refunds"),
            Call.QUERY_REFUND: ("GET", f"/refunds/{number}"),
        }[call]
        at_s = now_ms // 1000
        headers = (
            ("desk-merchant", account.identity["merchant"]),
            ("desk-time", str(at_s)),
            ("desk-signature", signature(account.secrets["secret"], at_s, f"{method} {path}", body)),
        )
        return Request(method=method, url=account.settings["base_url"] + path, headers=headers, body=body)

    # -- what we are told --------------------------------------------------------------------------------------------

    def read(self, call: Call, answer: Answer, attempt: Attempt, account: Account, *, now_ms: int, nonce: str) -> Read:
        """What an answer says of the attempt. Whatever cannot be read is silence, never a refusal."""
        if not isinstance(answer, Answered):
            return _said(call, attempt, SILENCE, answer.why)
        secret = account.secrets["secret"]
        told = verified(answer.headers, str(answer.status), answer.body, secret, now_ms=now_ms)
        if not isinstance(told, Genuine):
            return _said(call, attempt, SILENCE, f"{answer.status}: {told}")
        try:
            if answer.status == 200:
                return _done(call, told, attempt, account)
            return _refused(call, told, attempt, answer.status)
        except ValueError as error:
            return _said(call, attempt, SILENCE, f"unreadable: {error}")

    def read_notification(
        self, headers: Mapping[str, str], body: bytes, account: Account, *, now_ms: int
    ) -> Notice | Refused:
        """Anybody can send one: nothing of it is looked at before its signature holds."""
        secret = account.secrets.get("secret")
        if not secret:
            return Refused(why="the account has no secret")
        told = verified(headers, "notice", body, secret, now_ms=now_ms)
        if not isinstance(told, Genuine):
            return Refused(why=told)
        try:
            order = decode(told, Order)
        except ValueError as error:
            return Refused(why=f"signed, and unreadable: {error}")
        return Notice(numbers=(order.number,), evidence=(_of_order(order, told, order.number, account, call=None),))

    def acknowledge(self, *, taken: bool) -> Acknowledgement:
        """The desk says it again until it hears 200."""
        return Acknowledgement(status=200, body=b'"taken"') if taken else Acknowledgement(status=503)

    # -- the vendor's keys: one secret, which both sides have --------------------------------------------------------

    def build_keys(self, account: Account, *, now_ms: int, nonce: str) -> Request | None:
        """There is nothing to fetch."""
        return None

    def read_keys(self, answer: Answer, account: Account, *, now_ms: int) -> Mapping[str, Any] | None:
        """Nothing is believed that was not asked for."""
        return None


def _said(call: Call, attempt: Attempt, verdict: Verdict, words: str, *, wrong: str = "") -> Read:
    """A fact that is not about money: most often that there is none."""
    evidence = Evidence(
        number=attempt.no,
        fact=verdict.fact,
        road=_road(call),
        direction=attempt.direction,
        call=call,
        reason=Reason.REFUSED if verdict.fact is Fact.OVER else Reason.NONE,
        words=words[:WORDS_MAX],
        fault=verdict.fault,
        wrong=wrong,
        of=attempt.of,
    )
    return Read(evidence=(evidence,))


def _refused(call: Call, told: Genuine, attempt: Attempt, status: int) -> Read:
    """A refusal is said of the call; of the attempt only what stands in ``ERRORS``. Raises ValueError."""
    problem = decode(told, Problem)
    verdict = ERRORS.get(problem.error, SILENCE) if status < 500 else SILENCE
    wrong = _differs(number=(problem.number, attempt.no)) if verdict.fact is not Fact.SILENT else ""
    return _said(call, attempt, verdict, problem.error, wrong=wrong)


def _done(call: Call, told: Genuine, attempt: Attempt, account: Account) -> Read:
    """Raises ValueError for what is no order or refund, or brings no code where there must be one."""
    if call in {Call.REFUND, Call.QUERY_REFUND}:
        return Read(evidence=(_of_back(decode(told, Back), told, attempt, account, call),))
    order = decode(told, Order)
    evidence = _of_order(order, told, attempt.no, account, call)
    if call is not Call.PREPAY or evidence.fact is not Fact.PENDING or evidence.wrong:
        return Read(evidence=(evidence,))
    if not order.code:
        raise ValueError("it brings no code")
    code = msgspec.json.encode({"type": "code", "code": order.code}).decode()
    return Read(evidence=(evidence,), credential=Credential(body=code, until_ms=attempt.expires_ms))


def _of_order(order: Order, told: Genuine, number: str, account: Account, call: Call | None) -> Evidence:
    """A state that is new tomorrow is silence today. Whether the amount is right, the core decides."""
    fact = ORDER_STATES.get(order.state, Fact.SILENT)
    moved = fact is Fact.MOVED
    return Evidence(
        number=number,
        fact=fact,
        road=_road(call),
        call=call,
        reason=Reason.CLOSED if fact is Fact.OVER else Reason.NONE,
        words=order.state,
        minor=order.minor if moved else None,
        currency=order.currency if moved else None,
        wrong=_differs(number=(order.number, number), merchant=(order.merchant, account.identity["merchant"])),
        trade_no=order.receipt or "",
        channel_ms=order.paid_ms,
        said_ms=told.said_ms,
    )


def _of_back(back: Back, told: Genuine, attempt: Attempt, account: Account, call: Call) -> Evidence:
    fact = BACK_STATES.get(back.state, Fact.SILENT)
    return Evidence(
        number=attempt.no,
        fact=fact,
        road=_road(call),
        direction=Direction.OUT,
        call=call,
        reason=Reason.REFUSED if fact is Fact.OVER else Reason.NONE,
        words=back.state,
        minor=back.minor,
        currency=back.currency,
        wrong=_differs(
            number=(back.number, attempt.no),
            order=(back.order, attempt.of),
            merchant=(back.merchant, account.identity["merchant"]),
        ),
        of=back.order,
        said_ms=told.said_ms,
    )


def _differs(**pairs: tuple[str, str]) -> str:
    """Which identities in a message are not the ones that must be there."""
    return "; ".join(f"{name} is {said!r}, not {must!r}" for name, (said, must) in pairs.items() if said != must)


def _road(call: Call | None) -> Road:
    if call is None:
        return Road.NOTIFICATION
    return Road.QUERY if call in QUESTIONS else Road.REPLY
