"""Whatever a person does, in whatever state, money does not go back twice, nor more than came.

One payment, a channel that keeps books and takes any refund it is asked for, payers who also pay wrong amounts, calls
that are lost, refunds that come to nothing, an app that wants money back: and at any moment somebody who picks a case,
or makes one up, and a verb. The person tells the truth: what is accepted did arrive, what is settled was."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oncepay.domain.attempt import Call, Fact, Reason, Status
from oncepay.domain.capabilities import MIN, H
from oncepay.domain.change import StepKind, Verb
from oncepay.domain.errors import OncepayError
from oncepay.domain.payment import RefundStatus
from tests.unit.domain_kit import CREDENTIAL, POLICY, SHOWN, WX, Story

SHORT = msgspec.structs.replace(WX, refund_retry_at_ms=(1 * H,), refund_count=6)
PAID, UNPAID, ENDED = "paid", "unpaid", "closed"
VERBS = [verb for verb in Verb if verb not in {Verb.NOTE, Verb.RESOLVE}]
LATER = st.sampled_from([0, MIN, MIN, H])
FOUL = ("lost", "unanswered", "refused", "closed")


class Back:
    """A refund in the channel's books."""

    def __init__(self, refund_no: str, of: str, minor: int) -> None:
        self.refund_no, self.of, self.minor = refund_no, of, minor
        self.state = "accepted"


class Storm(RuleBasedStateMachine):
    """One payment and all who have to do with it."""

    @initialize(minutes=st.sampled_from([5, 60]), far=st.integers(0, 5))
    def begins(self, minutes: int, far: int) -> None:
        """Some of the way that most stories take: shown, paid, a refund asked for, under way, come to nothing, and
        another in its place."""
        self.story = Story(policy={**POLICY, "wx": SHORT}, minutes=minutes)
        self.by_hand: dict[str, set[str]] = {}  # refunds that were paid back outside, and their tries till then
        self.orders: dict[str, tuple[str, int]] = {}  # number -> state, minor
        self.backs: dict[str, Back] = {}  # what the centre had sent back, by number
        self.cases: list[dict[str, Any]] = []
        self.paid_by = ""
        number = self.story.payment.attempts[0].no
        self.call(number, Call.PREPAY, "well")
        if far > 0:
            self.orders[number] = (PAID, 100)
            self.hears(Fact.MOVED, number)
        if far > 1:
            self.story.refund("r1", 60)
        if far == 3:
            self.time_brings_the_next_step("well")
        if far > 3:
            self.time_brings_the_next_step("refused")
        if far > 4:
            self.story.refund("r2", 60)

    # -- the channel -------------------------------------------------------------------------------------------------

    def call(self, number: str, call: Call, how: str) -> None:
        """A call whose intent is committed: what the channel does, and what we hear of it."""
        answer = None if how == "lost" else self.served(number, call, how)
        if answer is None or how == "unanswered":
            answer = {"fact": Fact.SILENT}
        fact = answer.pop("fact")
        if call is Call.PREPAY and fact is Fact.PENDING:
            answer["credential"] = CREDENTIAL
        self.hears(fact, number, call=call, **answer)

    def served(self, number: str, call: Call, how: str) -> dict[str, Any]:
        state, minor = self.orders.get(number, ("", 0))
        if call is Call.PREPAY:
            if not state:
                self.orders[number] = (UNPAID, self.story.attempt(number).minor)
            return {"fact": Fact.PENDING if state in {"", UNPAID} else Fact.SILENT}
        if call is Call.QUERY:
            said = {"": Fact.ABSENT, UNPAID: Fact.PENDING, ENDED: Fact.OVER, PAID: Fact.MOVED}[state]
            return {"fact": said, **({"minor": minor} if state == PAID else {})}
        if call is Call.CLOSE:
            if state == UNPAID:
                self.orders[number] = (ENDED, minor)
                return {"fact": Fact.OVER, "reason": Reason.CLOSED}
            return {"fact": Fact.SILENT if state == PAID else Fact.ABSENT if not state else Fact.OVER}
        return self.served_refund(number, call, how)

    def served_refund(self, number: str, call: Call, how: str) -> dict[str, Any]:
        attempt, back = self.story.attempt(number), self.backs.get(number)
        if back is None and call is Call.QUERY_REFUND:
            return {"fact": Fact.ABSENT}
        if back is None and how == "refused":
            return {"fact": Fact.OVER, "reason": Reason.REFUSED, "words": "REFUSED"}
        if back is None:
            assert number in self.by_hand.get(attempt.refund_no, {number}), "it was paid back outside"
            back = self.backs[number] = Back(attempt.refund_no, attempt.of, attempt.minor)
        if back.state == "accepted" and call is Call.QUERY_REFUND:
            back.state = "closed" if how == "closed" else "done"
        fact = {"accepted": Fact.PENDING, "done": Fact.MOVED, "closed": Fact.OVER}[back.state]
        return {"fact": fact, **({"reason": Reason.CLOSED} if fact is Fact.OVER else {})}

    def hears(self, fact: Fact, number: str, **fields: Any) -> None:
        self.story.say(fact, number, **fields)
        self.notes_cases()

    def notes_cases(self) -> None:
        if self.story.last is not None:
            self.cases += [case.data for case in self.story.last.cases]

    # -- what happens ------------------------------------------------------------------------------------------------

    @rule(how=st.sampled_from(("well", "well", "well", *FOUL)))
    def time_brings_the_next_step(self, how: str) -> None:
        step = self.story.next()
        if step is None or step.at_ms > self.story.now + 3 * 24 * H:
            return
        self.story.begin(None)
        self.notes_cases()
        if step.kind is not StepKind.TICK:
            self.call(step.number, Call(step.kind.value), how)

    @rule(data=st.data(), minor=st.sampled_from([100, 100, 90, 120]), told=st.booleans())
    def a_payer_pays(self, data: st.DataObject, minor: int, told: bool) -> None:
        open_ones = [n for n, (state, _) in self.orders.items() if state == UNPAID and self.story.attempt(n).shown_ms]
        if not open_ones:
            return
        number = data.draw(st.sampled_from(open_ones))
        self.orders[number] = (PAID, minor)
        if told:
            self.hears(Fact.MOVED, number, minor=minor)

    @rule(data=st.data())
    def a_notification_comes_late(self, data: st.DataObject) -> None:
        paid = [(n, minor) for n, (state, minor) in self.orders.items() if state == PAID]
        if paid:
            number, minor = data.draw(st.sampled_from(paid))
            self.hears(Fact.MOVED, number, minor=minor)

    @rule(refund_no=st.sampled_from(["r1", "r2", "r3"]), minor=st.sampled_from([30, 60, 100]))
    def the_app_wants_money_back(self, refund_no: str, minor: int) -> None:
        self.wished(lambda: self.story.refund(refund_no, minor))

    @rule(if_paid=st.sampled_from(["keep", "refund"]))
    def the_app_gives_it_up(self, if_paid: str) -> None:
        self.wished(lambda: self.story.close(if_paid))

    @precondition(lambda self: len(self.story.payment.attempts) < 8)
    @rule(force=st.booleans())
    def the_app_starts_another(self, force: bool) -> None:
        before = {a.no for a in self.story.payment.attempts}
        self.wished(lambda: self.story.start(same=f"way {len(before)}", force=force))
        for attempt in self.story.payment.attempts:
            if attempt.no not in before and attempt.incoming:
                self.call(attempt.no, Call.PREPAY, "well")

    def wished(self, wish: Any) -> None:
        try:
            wish()
        except OncepayError:
            return
        self.notes_cases()

    # -- the person --------------------------------------------------------------------------------------------------

    @rule(data=st.data(), verb=st.sampled_from(VERBS), how=st.sampled_from(("well", *FOUL)))
    def a_person_does_something_with_a_case(self, data: st.DataObject, verb: Verb, how: str) -> None:
        case = data.draw(st.sampled_from([*self.cases, {}]))
        self.story.wait(data.draw(LATER))
        self.does(verb, case, how, minor=data.draw(st.sampled_from([None, None, 30, 100])))

    @rule(data=st.data(), verb=st.sampled_from(VERBS), how=st.sampled_from(("well", *FOUL)))
    def or_with_an_attempt(self, data: st.DataObject, verb: Verb, how: str) -> None:
        attempt = data.draw(st.sampled_from(self.story.payment.attempts))
        self.story.wait(data.draw(LATER))
        self.does(verb, {"number": attempt.no}, how, minor=data.draw(st.sampled_from([None, None, 30])))

    @precondition(lambda self: self.story.payment.refunds)
    @rule(
        data=st.data(),
        verb=st.sampled_from([Verb.RETRY, Verb.RETRY, Verb.REFUND, Verb.SETTLE, Verb.QUERY]),
        how=st.sampled_from(("well", *FOUL)),
    )
    def or_with_a_refund(self, data: st.DataObject, verb: Verb, how: str) -> None:
        refund = data.draw(st.sampled_from(self.story.payment.refunds))
        self.story.wait(data.draw(LATER))
        self.does(verb, {"refund_no": refund.refund_no}, how, minor=None)

    def does(self, verb: Verb, case: dict[str, Any], how: str, *, minor: int | None) -> None:
        number = case.get("number", "")
        if verb is Verb.ACCEPT and "wrong" not in case and not self.is_true(number):
            return
        before = self.story.payment
        try:
            change = self.story.handle(verb, case, evidence=SHOWN, minor=minor)
        except OncepayError:
            assert self.story.payment == before, "what is refused changes nothing"
            return
        if change is None or not change.acts:
            return
        self.notes_cases()
        (act,) = change.acts
        if verb is Verb.SETTLE:
            for refund in self.story.payment.refunds:
                if refund.why == "outside" and refund.refund_no not in self.by_hand:
                    tries = {a.no for a in self.story.payment.attempts if a.refund_no == refund.refund_no}
                    self.by_hand[refund.refund_no] = tries
            named = case.get("refund_no", "")
            assert not named or named in self.by_hand, "what is settled is not sent any more"
        attempt = self.story.payment.attempt(act.number)
        asked = attempt is not None and attempt.asked_ms == self.story.now and attempt.until_ms > self.story.now
        if attempt is not None and asked and attempt != before.attempt(act.number) and attempt.asked is not None:
            self.call(act.number, attempt.asked, how)
        elif verb is not Verb.QUERY:
            try:
                again = self.story.handle(verb, case, evidence=SHOWN, minor=minor)
            except OncepayError:
                return
            assert again is None or not again.acts, "and does not do it twice"

    def is_true(self, number: str) -> bool:
        known = self.story.payment.attempt(number)
        return known is not None and self.orders.get(number) == (PAID, known.minor)

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def no_more_goes_back_than_came(self) -> None:
        for number, (state, minor) in self.orders.items():
            back = sum(b.minor for b in self.backs.values() if b.of == number and b.state != "closed")
            assert back <= (minor if state == PAID else 0)

    @invariant()
    def nothing_goes_back_twice(self) -> None:
        sent = [b.refund_no for b in self.backs.values() if b.state != "closed"]
        assert len(sent) == len(set(sent))

    @invariant()
    def what_is_kept_did_come(self) -> None:
        payment = self.story.payment
        assert not self.paid_by or payment.paid_by == self.paid_by, "what paid it is what pays it"
        self.paid_by = payment.paid_by
        if payment.paid_by:
            assert self.orders[payment.paid_by] == (PAID, self.story.attempt(payment.paid_by).minor)
            assert payment.kept <= self.story.attempt(payment.paid_by).minor

    def teardown(self) -> None:
        """Left alone, all that is known to have come pays, or is back."""
        for _ in range(200):
            step = self.story.next()
            if step is None or step.at_ms > self.story.now + 40 * 24 * H:
                break
            self.time_brings_the_next_step("well")
        for attempt in self.story.payment.attempts:
            if attempt.incoming and attempt.status is Status.SUCCEEDED and attempt.no != self.story.payment.paid_by:
                back = [r for r in self.story.payment.refunds if r.of == attempt.no]
                assert sum(r.minor for r in back if r.status is not RefundStatus.FAILED) >= attempt.minor
        assert all(b.of for b in self.backs.values())


TestStorm = Storm.TestCase
TestStorm.settings = settings(
    max_examples=300, stateful_step_count=30, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip
