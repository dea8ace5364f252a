"""What may happen next in a state. What needs no word of the world's ``may`` happens anyway, sooner or later: a call
goes on, a notification arrives, what is due is done. Each word is spent when it happens.

=================  ===============================================================================================
payer              somebody pays an attempt whose credential was shown, or opens a page that was shown
late payer         the channel takes somebody's money for an order that it had closed
lost               a call, an answer or a notification does not arrive
double             a notification arrives, and will again
crash              a process dies between the commit of an intent and its effect, or before it hears the answer
stall              it stands still there instead, and goes on at any later time
slow               it stands still after it planned a step, before it commits the intent
read               it stands still after it has read the payment for one of the app's wishes
outage             nobody works for a day
dated              (not spent) it is looked at when a call began, which is as old as its answer can be
signed             (not spent) answers bear the channel's time at which they were given
console            somebody sends 60 back in the vendor's console, and a notification tells of it
liar               a notification with a valid signature says that another amount was paid
news               (not spent) the channel also notifies of refunds that it has carried out
statement          (not spent) the day's statement tells of money that nobody has heard of
start 2, start 3   the app wants the second, the third attempt
others             the app or a person wants what the word says
=================  ===============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Road, Status
from oncepay.domain.capabilities import DAY, MIN
from oncepay.domain.change import (
    Act,
    Amend,
    AskRefund,
    Begin,
    Close,
    Credential,
    Evidence,
    Handle,
    Hear,
    Input,
    Reopen,
    Start,
    Step,
    StepKind,
    Tick,
    Verb,
)
from oncepay.domain.payment import Payment
from oncepay.testing.explore.channel import moved, said, serve
from oncepay.testing.explore.core import REFUSED, Core
from oncepay.testing.explore.flights import added, brings_code, brought_code, older
from oncepay.testing.explore.judge import opens, order_of
from oncepay.testing.explore.story import ARRIVES, CALLS, COMMITS, REACHES, SAYS, TAKES
from oncepay.testing.explore.world import CHANNELS, CONSOLE, NOW_MS, Flight, Reader, Rest, Small, less, replace

Move = tuple[str, str, int, Rest, bool]  # in words, the number it is about, payment and rest after it, free or spent

FLIGHTS_MAX: Final = 2  # calls on their way at a time
_ACT: Final = Act(id="1", case_id="1", verb=Verb.QUERY, actor="ann", reason="to see", at_ms=0)
WISHES: Final[dict[str, tuple[Input, str]]] = {
    "close": (Close(), "The shop gives the payment up"),
    "close and refund": (Close(if_paid="refund"), "The shop gives the payment up; money that comes is to go back"),
    "refund 50": (AskRefund(refund_no="r50", minor=50), "The shop wants to give 50 back"),
    "refund 60": (AskRefund(refund_no="r60", minor=60), "The shop wants to give 60 back"),
    "reopen": (Reopen(deadline_ms=NOW_MS + 10 * MIN), "The shop wants the closed payment back"),
    "amend": (Amend(minor=80), "The shop now wants 80"),
}
VERBS: Final = {
    "person asks": (Verb.QUERY, "A person has the channel asked about {}"),
    "person closes": (Verb.CLOSE, "A person has the channel close {}"),
    "person retries": (Verb.RETRY, "A person has {} tried again"),
}
PAYING: Final = frozenset({"payer", "late payer", "liar"})


class Forgotten(Exception):
    """The payment has lost the row of a number that the channel was called for."""


class Moves:
    """The moves of one world."""

    def __init__(self, small: Small, core: Core) -> None:
        self.small = small
        self.core = core
        self.policy = core.policy
        self.anew = {channel for channel, way in zip(CHANNELS, small.ways, strict=False) if way == "anew"}

    def all(self, pid: int, rest: Rest) -> Iterator[Move]:
        """Every thing that may happen in a state, with the state after it. The first free one is what happens when
        nothing more goes wrong."""
        for flight in rest.flights:
            yield from self._in_flight(pid, rest, flight)
        if rest.told:
            yield from self._notifications(pid, rest)
        if rest.reader is not None:
            yield from self._reader(pid, rest, rest.reader)
        if all(flight.stray for flight in rest.flights):
            yield from self._on_time(pid, rest)
        payment = self.core.payments[pid]
        yield from self._payers(payment, pid, rest)
        for word in dict.fromkeys(rest.may):
            if word in WISHES:
                yield from self._wish(pid, rest, word)
            elif word in VERBS:
                yield from self._person(payment, pid, rest, word)
            elif word in {"start 2", "start 3"}:
                yield from self._start(payment, pid, rest, word)
            elif word == "news":
                yield from self._carried_out(pid, rest)
            elif word == "console":
                yield from self._console(pid, rest)

    # -- calls -------------------------------------------------------------------------------------------------

    def _in_flight(self, pid: int, rest: Rest, flight: Flight) -> Iterator[Move]:
        may, no, doing = rest.may, flight.number, CALLS[flight.call]
        late = " late" if flight.stray else ""
        attempt = self._attempt(pid, no)
        others = tuple(other for other in rest.flights if other is not flight)
        if flight.answer is None and flight.stray and self._too_late(attempt, flight):
            yield f"{doing} never reaches the channel", no, pid, replace(rest, flights=others), True
            return
        if flight.answer is None:
            for taken in serve(flight.call, attempt, rest.books, self.policy[attempt.channel]):
                if taken.spent and taken.spent not in may:
                    continue
                said_ms = NOW_MS if "signed" in may else 0
                answer = msgspec.structs.replace(taken.answer, said_ms=said_ms) if said_ms else taken.answer
                back, books = msgspec.structs.replace(flight, answer=answer), taken.books
                if attempt.channel in self.anew and brings_code(flight, taken.answer):
                    books = books.coded(no, flight.call_no)
                words = f"{doing}{REACHES}{late}{TAKES[taken.spent]}"
                after = replace(rest, books=books, flights=added(others, back))
                yield self._spent(words, no, pid, after, taken.spent)
        else:
            heard, left = self._hear(pid, replace(rest, flights=others), flight.answer, flight)
            yield f"the answer to {doing}{ARRIVES}{late}: {SAYS[flight.answer.fact]}", no, heard, left, True
        if "lost" in may:
            what = doing if flight.answer is None else f"the answer to {doing}"
            silent = said(no, Fact.SILENT, flight.call, of=attempt.of)
            waited, after = (pid, rest) if flight.stray else self._later(pid, rest, self._until_ms(attempt) - NOW_MS)
            heard, left = self._hear(waited, replace(after, flights=others), silent, flight)
            yield self._spent(f"{what} is lost", no, heard, left, "lost")
        if not flight.stray:
            if "crash" in may:
                dead = replace(rest, flights=others)
                yield self._spent(f"the process that waits for {doing} dies", no, pid, dead, "crash")
            if "stall" in may:
                stray = msgspec.structs.replace(flight, stray=True)
                after = replace(rest, flights=added(others, stray))
                yield self._spent(f"the process that waits for {doing} stands still", no, pid, after, "stall")

    def _too_late(self, attempt: Attempt, flight: Flight) -> bool:
        """No call is under way for longer than the margin after which "no such refund" counts; nor, where it would make
        a shown code void, when its time is over and the next was made."""
        if flight.call is not Call.REFUND:
            return attempt.channel in self.anew and 0 < flight.call_no < attempt.calls
        margin_ms = self.policy[attempt.channel].refund_absent_margin_ms
        return attempt.refused_ms > 0 and attempt.refused_ms + margin_ms <= NOW_MS

    def _on_time(self, pid: int, rest: Rest) -> Iterator[Move]:
        step = self.core.plan(pid)
        if step is None:
            if "statement" in rest.may:
                yield from self._statement(pid, rest)
            return
        due, waiting = self._later(pid, rest, step.at_ms - NOW_MS)
        if step.kind is StepKind.TICK:
            after, left = self._decided(due, waiting, Tick())
            yield "Time passes", step.number, after, left, True
        else:
            begin = self._begin(due, step)
            after, left = self._decided(due, waiting, begin)
            if after not in {REFUSED, due}:
                flight = self._flight(after, Call(step.kind.value), step.number)
                words = COMMITS + CALLS[flight.call]
                yield words, step.number, after, replace(left, flights=added(left.flights, flight)), True
            if "slow" in rest.may and rest.reader is None:
                reader = replace(waiting, reader=Reader(due, begin))
                words = f"A process is about to commit to {CALLS[Call(step.kind.value)]}, and stands still"
                yield self._spent(words, step.number, due, reader, "slow")
        if "outage" in rest.may:
            yield self._spent("Nobody works for a day", "", *self._later(pid, rest, DAY), "outage")

    def _begin(self, pid: int, step: Step) -> Begin:
        attempt = self.core.payments[pid].attempt(step.number)
        until_ms = NOW_MS + 8_000 if attempt is None else self._until_ms(attempt)
        return Begin(step=msgspec.structs.replace(step, at_ms=NOW_MS), until_ms=until_ms)

    def _until_ms(self, attempt: Attempt) -> int:
        return NOW_MS + self.policy[attempt.channel].call_deadline_ms

    # -- who stands still ----------------------------------------------------------------------------------------

    def _reader(self, pid: int, rest: Rest, reader: Reader) -> Iterator[Move]:
        """It goes on: the guard lets its change pass, or it reads again. A step is then planned anew by whoever is
        next, what the app wants is decided anew."""
        left = replace(rest, reader=None)
        step = reader.asked.step if isinstance(reader.asked, Begin) else None
        number, passes = step.number if step else "", passes_guard(reader)
        after = self.core.decide(reader.pid if passes else pid, reader.asked)
        if step is None:
            words = "The process that stood still goes on with what the shop wanted"
            yield words, "", pid if after == REFUSED else after, left, True
        elif not passes or after in {REFUSED, reader.pid}:
            yield "The process that stood still sees that it is late, and does nothing", number, pid, left, True
        else:
            call = Call(step.kind.value)
            words = f"The process that stood still goes on, and commits to {CALLS[call]}"
            yield (
                words,
                number,
                after,
                replace(left, flights=added(left.flights, self._flight(after, call, number))),
                True,
            )

    # -- payers and the channel's news ---------------------------------------------------------------------------

    def _notifications(self, pid: int, rest: Rest) -> Iterator[Move]:
        for no in dict.fromkeys(rest.told):
            index = rest.told.index(no)
            left = replace(rest, told=rest.told[:index] + rest.told[index + 1 :])
            news = self._news(pid, rest, no)
            yield "The channel's notification of {} arrives", no, *self._hear(pid, left, news, None), True
            if "double" in rest.may:
                heard, again = self._hear(pid, rest, news, None)
                yield self._spent("A notification of {} arrives, and is sent again", no, heard, again, "double")
            if "lost" in rest.may and not no.startswith(CONSOLE):  # what only that says is known only by that
                yield self._spent("The channel's notification of {} is lost", no, pid, left, "lost")

    def _news(self, pid: int, rest: Rest, no: str) -> Evidence:
        back = rest.books.back(no)
        if back is not None:
            return moved(no, Road.NOTIFICATION, back[2], of=back[1])
        return moved(no, Road.NOTIFICATION, self._attempt(pid, no).minor)

    def _console(self, pid: int, rest: Rest) -> Iterator[Move]:
        """Of what paid the payment. The channel itself takes care that no more goes back than was paid: ``channel``."""
        for no, _ in rest.books.orders:
            paid_by = self.core.payments[pid].paid_by
            if no == paid_by and rest.books.went_back(no) + 60 <= self._attempt(pid, no).minor:
                number = CONSOLE + no[-2:]
                told = tuple(sorted((*rest.told, number)))
                sent = replace(rest, books=rest.books.put_back(number, no, 60, "done"), told=told)
                words = "Somebody sends 60 of {} back in the vendor's console"
                yield self._spent(words, no, pid, sent, "console")

    def _carried_out(self, pid: int, rest: Rest) -> Iterator[Move]:
        for no, of, minor, how in rest.books.backs:
            if how == "accepted":
                told = tuple(sorted((*rest.told, no)))
                done = replace(rest, books=rest.books.put_back(no, of, minor, "done"), told=told)
                yield "The channel carries out {}", no, pid, done, False

    def _statement(self, pid: int, rest: Rest) -> Iterator[Move]:
        for no, state in rest.books.orders:
            attempt = self._attempt(pid, no)
            if state == "paid" and attempt.status is not Status.SUCCEEDED:
                news = moved(no, Road.STATEMENT, attempt.minor)
                yield "The day's statement says that {} was paid", no, *self._hear(pid, rest, news, None), True

    def _payers(self, payment: Payment, pid: int, rest: Rest) -> Iterator[Move]:
        may = frozenset(rest.may)
        for a in payment.attempts:
            if a.direction is Direction.OUT or (a.shown_ms and may.isdisjoint(PAYING)):
                continue
            capabilities, no = self.policy[a.channel], a.no
            if not a.shown_ms:
                if not a.settled and not capabilities.by_call(a.method):
                    yield from self._page(pid, rest, a)
                continue
            state = order_of(a, rest.books, capabilities)
            if state == "unpaid" and "payer" in rest.may:
                yield self._spent("A payer pays {}", no, pid, _paid(rest, no), "payer")
            if state == "closed" and "late payer" in rest.may:
                words = "The channel takes a payer's money for {}, though it had closed it"
                yield self._spent(words, no, pid, _paid(rest, no), "late payer")
            if state == "absent" and "payer" in rest.may and opens(a, capabilities):
                yield "A payer opens {}", no, pid, replace(rest, books=rest.books.put(no, "unpaid")), False
            if "liar" in rest.may:
                heard, left = self._hear(pid, rest, moved(no, Road.NOTIFICATION, 1), None)
                yield self._spent("A signed notification says that 1 was paid by {}", no, heard, left, "liar")

    def _page(self, pid: int, rest: Rest, attempt: Attempt) -> Iterator[Move]:
        """What is made without a call is shown whenever somebody asks for it."""
        shown = Credential(body="{}", until_ms=attempt.expires_ms)
        heard = Hear(evidence=(), channel=attempt.channel, account="acc", answers=attempt.no, credential=shown)
        after, left = self._decided(pid, rest, heard)
        if after != pid:
            yield "{} is shown to the payer", attempt.no, after, left, False

    # -- the app, and people -------------------------------------------------------------------------------------

    def _wish(self, pid: int, rest: Rest, word: str) -> Iterator[Move]:
        asked, words = WISHES[word]
        after, left = self._decided(pid, rest, asked)
        if after != REFUSED:
            yield self._spent(words, "", after, left, word)
            if "read" in rest.may and rest.reader is None:
                stands = replace(rest, reader=Reader(pid, asked), may=less(rest.may, "read"))
                yield self._spent(f"{words}; the process that has just read it stands still", "", pid, stands, word)

    def _start(self, payment: Payment, pid: int, rest: Rest, word: str) -> Iterator[Move]:
        """Politely at first: the old attempt is followed to its end. When that does not come, the app's policy decides
        whether the new one is started all the same."""
        index = int(word[-1]) - 1
        if len(rest.flights) >= FLIGHTS_MAX:
            return
        for force in (False, True) if payment.unclosable == "switch" else (False,):
            after, left = self._decided(pid, rest, start(self.small, index, force=force))
            if after == REFUSED:
                continue
            new = self.core.payments[after].attempts[-1]
            if len(self.core.payments[after].attempts) == len(payment.attempts):
                if after != pid:
                    words = "The shop wants another way to pay: the attempt before is no longer wanted"
                    yield words, "", after, left, False
                return
            if new.calls:
                left = replace(left, flights=added(left.flights, self._flight(after, Call.PREPAY, new.no)))
            how = ", though the one before is not over" if force else ""
            yield self._spent(f"The shop starts {{}}{how}", new.no, after, left, word)
            return

    def _person(self, payment: Payment, pid: int, rest: Rest, word: str) -> Iterator[Move]:
        verb, words = VERBS[word]
        if len(rest.flights) >= FLIGHTS_MAX:
            return
        for attempt in payment.attempts:
            act = msgspec.structs.replace(_ACT, verb=verb)
            after, left = self._decided(pid, rest, Handle(act=act, number=attempt.no))
            if after in {REFUSED, pid}:
                continue
            asked = [a for a in self.core.payments[after].attempts if a.until_ms and a != payment.attempt(a.no)]
            if asked and asked[0].asked is not None:
                left = replace(left, flights=added(left.flights, self._flight(after, asked[0].asked, asked[0].no)))
            yield self._spent(words, attempt.no, after, left, word)

    def _flight(self, pid: int, call: Call, number: str) -> Flight:
        """A call whose intent has just been committed."""
        paying = call in {Call.PREPAY, Call.REFUND}
        asked_ms = NOW_MS if "dated" in self.small.may else 0
        return Flight(call, number, call_no=self._attempt(pid, number).calls if paying else 0, asked_ms=asked_ms)

    # -- what all of them do -------------------------------------------------------------------------------------

    def _attempt(self, pid: int, number: str) -> Attempt:
        attempt = self.core.payments[pid].attempt(number)
        if attempt is None:
            raise Forgotten(number)
        return attempt

    def _spent(self, words: str, number: str, pid: int, rest: Rest, word: str) -> Move:
        if not word:
            return words, number, pid, rest, True
        return words, number, pid, replace(rest, may=less(rest.may, word)), False

    def _later(self, pid: int, rest: Rest, ms: int) -> tuple[int, Rest]:
        if ms <= 0:
            return pid, rest
        if rest.reader is not None:
            read = self.core.later(rest.reader.pid, ms)
            rest = replace(rest, reader=msgspec.structs.replace(rest.reader, pid=read))
        if "signed" in rest.may or "dated" in rest.may:
            rest = replace(rest, flights=tuple(older(flight, ms) for flight in rest.flights))
        return self.core.later(pid, ms), rest

    def _decided(self, pid: int, rest: Rest, asked: Input) -> tuple[int, Rest]:
        """Decided and committed: whoever has read the payment before will lose the guard."""
        after = self.core.decide(pid, asked)
        if rest.reader is not None and rest.reader.fresh and after not in {REFUSED, pid}:
            rest = replace(rest, reader=msgspec.structs.replace(rest.reader, fresh=False))
        return after, rest

    def _hear(self, pid: int, rest: Rest, evidence: Evidence, flight: Flight | None) -> tuple[int, Rest]:
        credential, attempt = None, self._attempt(pid, evidence.of or evidence.number)
        if flight is not None and brings_code(flight, evidence):
            renews = self.policy[attempt.channel].renews(attempt.method)
            brought = brought_code(flight, anew=attempt.channel in self.anew)
            credential = brought if renews or attempt.calls == 1 else None
        heard = Hear(
            evidence=(evidence,),
            channel=attempt.channel,
            account="acc",
            answers=flight.number if flight else "",
            call_no=flight.call_no if flight else 0,
            asked_ms=flight.asked_ms if flight else 0,
            credential=credential,
        )
        after, rest = self._decided(pid, rest, heard)
        return (pid if after == REFUSED else after), rest


def passes_guard(reader: Reader) -> bool:
    """The store's one guard: a change of what is no longer so is not written."""
    return reader.fresh


def start(small: Small, index: int, *, force: bool = False) -> Start:
    """The app wants attempt ``index``."""
    channel = CHANNELS[index]
    capabilities = small.policy()[channel]
    until_ms = NOW_MS + capabilities.call_deadline_ms if capabilities.by_call("m") else 0
    return Start(channel=channel, method="m", account="acc", same=f"same{index}", force=force, call_until_ms=until_ms)


def _paid(rest: Rest, number: str) -> Rest:
    """Paid, and a notification of it is on its way."""
    return replace(rest, books=rest.books.put(number, "paid"), told=tuple(sorted((*rest.told, number))))
