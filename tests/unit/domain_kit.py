"""A payment for a test to play with: the real core, one clock that only the test moves, and short words for what
channels say. Every change is checked on its way: the guard goes up by one, and the version with what apps see."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason, Road
from oncepay.domain.capabilities import MIN, Capabilities, H, Method, Policy
from oncepay.domain.change import (
    Act,
    Amend,
    AskRefund,
    Begin,
    Change,
    Close,
    Credential,
    Evidence,
    Hear,
    Input,
    Reopen,
    Start,
    Step,
    StepKind,
    Tick,
    Verb,
)
from oncepay.domain.decide import create, decide
from oncepay.domain.ids import in_number, payment_id
from oncepay.domain.payment import Payment, Refund, RefundStatus
from oncepay.domain.plan import plan, steps
from oncepay.domain.snapshot import snapshot
from oncepay.domain.subject import handling

T0: Final = 1_800_000_000_000
ID: Final = payment_id("installation", "shop", "A-1")
NO: Final = in_number(ID, 0)  # of the first attempt
NO_2: Final = in_number(ID, 1)
CALL_MS: Final = 10_000
WX: Final = Capabilities(methods={"native": Method(credential="qr")}, currencies=frozenset({"CNY"}))
# a channel whose pages are made without asking it, so that it knows of an order only when a payer opens one
PAGES: Final = msgspec.structs.replace(WX, methods={"page": Method(credential="url", made_by_call=False)})
# a channel without a call to close, that tells a code once
UNION: Final = msgspec.structs.replace(
    WX,
    methods={"form": Method(credential="form", made_by_call=False), "qr": Method(credential="qr", renewable=False)},
    closes=False,
    close_final=False,
)
POLICY: Final[Policy] = {"wx": WX, "pages": PAGES, "union": UNION}
SHOWN: Final = "the merchant's console shows it"
CREDENTIAL: Final = Credential(body='{"code_url":"weixin://1"}', until_ms=T0 + 2 * H)


def without_version(payment: Payment) -> dict[str, Any]:
    """What an app sees, but for the number of times that it changed."""
    seen = snapshot(payment)
    del seen["version"]
    return seen


def check_change(before: Payment, change: Change) -> None:
    """What holds of every change, whatever it is about."""
    after = change.payment
    assert change.rev == before.rev
    assert after.rev == before.rev + 1
    seen = without_version(before) != without_version(after)
    assert after.version == before.version + seen, "the version goes up by one if and only if an app can see why"
    assert (change.event is not None) == seen
    if change.event is not None:
        assert change.event.version == after.version
        assert change.event.changes
        assert change.event.snapshot == snapshot(after)


class Story:
    """A payment, its clock and its channels' abilities."""

    def __init__(
        self,
        *,
        minor: int = 100,
        minutes: float = 60,
        policy: Policy = POLICY,
        attempt: str = "native",
        **fields: Any,
    ) -> None:
        self.now = T0
        self.policy = policy
        payment = Payment(
            id=ID, app="shop", order_no="A-1", minor=minor, currency="CNY", subject="Tea", created_ms=T0,
            deadline_ms=T0 + round(minutes * MIN), **fields,
        )  # fmt: skip
        start = self.start_input(method=attempt) if attempt else None
        self.last: Change | None = create(payment, start, policy, self.now)
        self.payment = self.last.payment
        self.cases: list[str] = []
        self.data: dict[str, Any] = {}  # of the last case
        self.case = "case"  # that a person looks at
        self.did: list[str] = []
        self.told: list[str] = []

    # -- inputs ------------------------------------------------------------------------------------------------------

    def take(self, asked: Input) -> Change | None:
        """Decide, check and keep."""
        self.last = decide(self.payment, asked, self.policy, self.now)
        if self.last is not None:
            check_change(self.payment, self.last)
            self.payment = self.last.payment
            self.cases += [case.kind for case in self.last.cases]
            self.data = self.last.cases[-1].data if self.last.cases else self.data
            self.did += [act.did for act in self.last.acts]
            self.told += self.last.event.changes if self.last.event else ()
        return self.last

    def start_input(
        self, *, method: str = "native", same: str = "", account: str = "", force: bool = False, expires_ms: int = 0
    ) -> Start:
        channel = {"page": "pages", "form": "union", "qr": "union"}.get(method, "wx")
        return Start(
            channel=channel,
            method=method,
            account=account or channel,
            same=same or method,
            force=force,
            expires_ms=expires_ms,
            call_until_ms=self.now + CALL_MS if self.policy[channel].by_call(method) else 0,
        )

    def start(self, **fields: Any) -> Change | None:
        return self.take(self.start_input(**fields))

    def close(self, if_paid: Any = "keep") -> Change | None:
        return self.take(Close(if_paid=if_paid))

    def reopen(self, minutes: float = 60) -> Change | None:
        return self.take(Reopen(deadline_ms=self.now + round(minutes * MIN)))

    def amend(self, **fields: Any) -> Change | None:
        return self.take(Amend(**fields))

    def refund(self, refund_no: str, minor: int) -> Change | None:
        return self.take(AskRefund(refund_no=refund_no, minor=minor))

    def handle(
        self, verb: Verb, data: dict[str, Any] | None = None, *, evidence: str = "", **said: Any
    ) -> Change | None:
        """A person does something with a case: the last one, unless its data are given."""
        act = Act(id="act", case_id=self.case, verb=verb, actor="ann", reason="Because.", at_ms=0, evidence=evidence)
        return self.take(
            handling(act, self.data if data is None else data, margin_ms=CALL_MS - WX.call_deadline_ms, **said)
        )

    def tick(self) -> Change | None:
        return self.take(Tick())

    def begin(self, step: Step | None = None) -> Step:
        """Commit the intent of a step: the next by plan, at its time, unless one is given."""
        if step is None:
            step = self.next()
            assert step is not None
            self.now = max(self.now, step.at_ms)
        if step.kind is StepKind.TICK:
            self.tick()
        else:
            assert self.take(Begin(step=step, until_ms=self.now + CALL_MS)) is not None, step
        return step

    def say(self, fact: Fact, number: str = NO, **fields: Any) -> Change | None:
        """A notification; with ``call`` an answer to it."""
        answers = number if fields.get("call") else ""
        answers = fields.pop("answers", answers)
        credential, call_no = fields.pop("credential", None), fields.pop("call_no", 0)
        asked_ms = fields.pop("asked_ms", 0)
        attempt = self.payment.attempt(number)
        channel = fields.pop("channel", attempt.channel if attempt else "wx")
        account = fields.pop("account", channel)
        evidence = self.evidence(fact, number, **fields)
        heard = Hear(
            evidence=(evidence,),
            channel=channel,
            account=account,
            answers=answers,
            call_no=call_no,
            asked_ms=asked_ms,
            credential=credential,
        )
        return self.take(heard)

    def evidence(self, fact: Fact, number: str = NO, **fields: Any) -> Evidence:
        attempt = self.payment.attempt(number)
        call = fields.get("call")
        queries = {Call.QUERY, Call.QUERY_REFUND}
        road = Road.QUERY if call in queries else Road.REPLY if call else Road.NOTIFICATION
        told: dict[str, Any] = {"number": number, "fact": fact, "road": road}
        if attempt is not None:
            told["direction"] = attempt.direction
            told["of"] = attempt.of
        if fact is Fact.MOVED:
            told["minor"] = attempt.minor if attempt else self.payment.minor
            told["currency"] = "CNY"
            told["trade_no"] = f"trade-{number}"
            told["channel_ms"] = self.now
        return Evidence(**(told | fields))

    # -- what channels say -------------------------------------------------------------------------------------------

    def shown(self, number: str = NO) -> None:
        """The channel makes the order, or nothing but keys makes its page; the payer gets it."""
        attempt = self.attempt(number)
        if self.policy[attempt.channel].by_call(attempt.method):
            self.say(Fact.PENDING, number, call=Call.PREPAY, credential=CREDENTIAL)
        else:
            account = attempt.channel
            self.take(Hear(evidence=(), channel=account, account=account, answers=number, credential=CREDENTIAL))
        assert self.attempt(number).shown_ms

    def queried(self, fact: Fact, number: str = NO, **fields: Any) -> Change | None:
        """A question now, and what it is answered."""
        kind = StepKind.QUERY if self.attempt(number).incoming else StepKind.QUERY_REFUND
        self.begin(Step(kind=kind, at_ms=self.now, number=number))
        return self.say(fact, number, call=Call(kind.value), **fields)

    def outside(self, number: str, minor: int, **fields: Any) -> Change | None:
        """A refund that we did not ask for."""
        told: dict[str, Any] = {"direction": Direction.OUT, "of": NO, "minor": minor}
        return self.say(Fact.MOVED, number, **(told | fields))

    def paid(self) -> Story:
        self.shown()
        self.say(Fact.MOVED)
        assert self.payment.paid_by == NO
        return self

    def refund_call(self) -> str:
        """The next step has to be a refund's call: its number."""
        step = self.begin()
        assert step.kind is StepKind.REFUND, step
        return step.number

    def refused(self, number: str = NO, words: str = "PARAM_ERROR") -> Change | None:
        call = Call.PREPAY if self.attempt(number).incoming else Call.REFUND
        return self.say(Fact.OVER, number, call=call, reason=Reason.REFUSED, words=words)

    # -- what there is to see ----------------------------------------------------------------------------------------

    def attempt(self, number: str = NO) -> Attempt:
        attempt = self.payment.attempt(number)
        assert attempt is not None
        return attempt

    def a_refund(self, refund_no: str) -> Refund:
        refund = self.payment.refund(refund_no)
        assert refund is not None
        return refund

    def next(self) -> Step | None:
        return plan(self.payment, self.policy, self.now)

    def kinds(self) -> list[str]:
        """All that lies ahead, the earliest first."""
        ahead = sorted(steps(self.payment, self.policy, self.now), key=lambda step: step.at_ms)
        return [step.kind.value for step in ahead]

    def wait(self, ms: float) -> None:
        self.now += round(ms)


# -- stories that a person must look at ------------------------------------------------------------------------


def wrongly_paid(minor: int | None = 90, number: str = NO, **told: Any) -> Story:
    """An open payment of 100, and a validly signed message that 90 moved."""
    story = Story()
    story.shown()
    story.say(Fact.MOVED, number, minor=minor, **told)
    assert story.cases == ["wrong_content"]
    return story


def with_failed_refund(**policy: Any) -> Story:
    """A paid payment of 100 whose refund of 60 failed, and whose case says so."""
    story = Story(policy={**POLICY, "wx": msgspec.structs.replace(WX, refund_retry_at_ms=(), **policy)}).paid()
    story.refund("r1", 60)
    story.say(Fact.OVER, story.refund_call(), call=Call.QUERY_REFUND, reason=Reason.CLOSED, words="CLOSED")
    assert story.a_refund("r1").status is RefundStatus.FAILED
    assert story.cases == ["refund_stuck"]
    story.wait(MIN)
    return story


def with_unsettled() -> Story:
    """An attempt of which the channel has said nothing for hours; a case says so."""
    story = Story()
    story.shown()
    story.wait(4 * H)
    story.tick()
    assert story.cases == ["unsettled"]
    return story
