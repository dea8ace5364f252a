"""A failure as a story that somebody who does not know the code understands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from oncepay.domain.attempt import Call, Fact, Status
from oncepay.domain.capabilities import DAY, MIN, H
from oncepay.domain.payment import Payment
from oncepay.domain.settle import OUTSIDE_MARK, SURPLUS_MARK
from oncepay.testing.explore.world import CONSOLE, Books

COMMITS: Final = "The centre commits to "
REACHES: Final = " reaches the channel"
ARRIVES: Final = " arrives"
CALLS: Final = {
    Call.PREPAY: "the request for the code of {}",
    Call.QUERY: "the question how {} stands",
    Call.CLOSE: "the order to close {}",
    Call.REFUND: "the order to carry out {}",
    Call.QUERY_REFUND: "the question how {} stands",
}
SAYS: Final = {
    Fact.ABSENT: "it knows no such number",
    Fact.SILENT: "nothing of use",
    Fact.PENDING: "it is there, and nothing has moved",
    Fact.OVER: "it is over",
    Fact.MOVED: "the money has moved",
}
TAKES: Final = {
    "": "",
    "refusal": ", which refuses",
    "turned away": ", which has no balance for it",
    "lag": ", which answers as if the last thing had not happened yet",
    "undone": ", which gives it up",
    "raced": ", which closes what was paid at the same moment",
    "unclosed": ", which says so and does not do it",
}
STANDS: Final = {
    Status.CREATED: "is begun",
    Status.UNKNOWN: "is in doubt",
    Status.SENT: "is known to the channel",
    Status.OVER: "is over",
    Status.SUCCEEDED: "has succeeded",
}
ORDINALS: Final = ("first", "second", "third")


def name_of(payment: Payment, number: str, *, tried: bool = True) -> str:
    """How people call a number: "the first attempt", "the refund of 50, try 2"."""
    attempt = payment.attempt(number)
    if number.startswith(CONSOLE):
        return "the refund of 60 that somebody made outside"
    if attempt is None:
        return f"number {number[26:]}" if number else "it"
    if attempt.incoming:
        before = [a.no for a in payment.attempts if a.incoming]
        return f"the {ORDINALS[before.index(number)]} attempt"
    what = f"the refund of {attempt.minor}"
    if attempt.refund_no.startswith(SURPLUS_MARK):
        what = f"the return of what {name_of(payment, attempt.of)} brought too much"
    elif attempt.refund_no.startswith(OUTSIDE_MARK):
        what = f"the refund of {attempt.minor} that somebody made outside"
    tries = [a.no for a in payment.attempts if a.refund_no == attempt.refund_no]
    return what if len(tries) < 2 or not tried else f"{what}, try {tries.index(number) + 1}"


class Line(NamedTuple):
    """One thing that happened: in words, how much later than what came before, and what was so before and after."""

    words: str
    later_ms: int
    before: tuple[Payment, Books]
    after: tuple[Payment, Books]
    times: int = 1

    @property
    def new(self) -> str:
        """What is otherwise than before."""
        return "; ".join(news(self.before, self.after))


def line(words: str, number: str, before: tuple[Payment, Books], after: tuple[Payment, Books]) -> Line:
    """Of a move: ``{}`` in its words is what is called by ``number``."""
    payment = after[0] if after[0].attempt(number) is not None else before[0]
    later_ms = before[0].created_ms - after[0].created_ms
    return Line(words.replace("{}", name_of(payment, number)), later_ms, before, after)


def told(lines: Iterable[Line]) -> list[str]:
    """The story for people: a call with its answer is one line, and so is what is repeated without anything new."""
    return [_sentence(one) for one in _repeated(_calls(list(lines)))]


def _calls(lines: list[Line]) -> Iterator[Line]:
    at = 0
    while at < len(lines):
        first = lines[at]
        begins = first.words.startswith(COMMITS)
        call = first.words.removeprefix(COMMITS) if begins else first.words.partition(REACHES)[0]
        part = [one.words for one in lines[at : at + 2 + begins]]
        answer = f"the answer to {call}{ARRIVES}"
        if len(part) == 2 + begins and part[-2].startswith(call + REACHES) and part[-1].startswith(answer):
            how, said = part[-2].removeprefix(call + REACHES), part[-1].removeprefix(answer)
            words = f"{call}{REACHES}{how}; its answer{said}"
            yield Line(words, first.later_ms, first.before, lines[at + 1 + begins].after)
            at += len(part)
        else:
            yield first
            at += 1


def _repeated(lines: Iterable[Line]) -> Iterator[Line]:
    last: Line | None = None
    for one in lines:
        if last is not None and one.words == last.words and not one.new and (last.times > 1 or not last.new):
            later_ms = last.later_ms + one.later_ms
            last = Line(one.words, later_ms, last.before, one.after, last.times + 1)
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def _sentence(one: Line) -> str:
    text = f"{one.words[0].upper()}{one.words[1:]}"
    if one.times > 1:
        text = f"{text} ({one.times} times{f', over {_span(one.later_ms)}' if one.later_ms else ''})"
    elif one.later_ms:
        text = f"{_span(one.later_ms)} later: {one.words}"
    return f"{text}. Now {one.new}." if one.new else f"{text}."


def _span(ms: int) -> str:
    for unit, name in ((DAY, "days"), (H, "hours"), (MIN, "minutes")):
        if ms >= 2 * unit:
            return f"{ms // unit} {name}"
    return f"{ms / 1000:g} seconds"


def news(before: tuple[Payment, Books], after: tuple[Payment, Books]) -> Iterator[str]:
    """What the centre and the channel now think otherwise than before."""
    (was, had), (now, has) = before, after
    if now.status is not was.status:
        yield f"the payment is {now.status}"
    elif now.closing_ms and not was.closing_ms:
        yield "the payment is closing"
    for attempt in now.attempts:
        known = was.attempt(attempt.no)
        if known is None or known.status is not attempt.status:
            reason = f" ({attempt.reason})" if attempt.status is Status.OVER and attempt.reason else ""
            yield f"for the centre {name_of(now, attempt.no)} {STANDS[attempt.status]}{reason}"
    for refund in now.refunds:
        known_refund = was.refund(refund.refund_no)
        if known_refund is None or known_refund.status is not refund.status:
            yield f"{refund.minor} {'is to go back' if refund.status == 'open' else f'going back has {refund.status}'}"
    for number, state in has.orders:
        if had.order(number) != state:
            yield f"at the channel {name_of(now, number)} is {state}"
    for number, _, minor, how in has.backs:
        if had.back(number) is None or (how == "closed" and had.back(number) != (number, _, minor, how)):
            yield f"the channel {'never sends' if how == 'closed' else 'sends'} {minor} back for {name_of(now, number)}"
