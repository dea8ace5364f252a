"""A trace as a story for somebody who does not know the code: who did what to whom, by the clock, in the words of the
house. Left out is what changes nothing: points that were passed, questions of the app, commits that came second."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

HEAD, TAIL = 24, 16  # lines of a long story that are told: how it began, how it ended

PROMISES: Final[Mapping[str, str]] = {
    "I1": "one at a time",
    "I2": "nothing is lost",
    "I3": "nothing is kept twice",
    "I4": "nothing is refunded twice",
    "I5": "no phantom",
    "I6": "no phantom",
    "I7": "no way back",
    "I8": "the app hears it",
    "I9": "the app hears it",
    "I10": "one order",
    "I11": "acknowledged means durable",
    "I15": "everything ends",
    "I20": "closed in doubt",
}
"""What docs/promises.md calls them."""

_SKIPPED: Final = re.compile(r"(before|after|on the way)\b|serves |GET /v1")
_WORDS: Final = {"peace": "is at peace: no faults from here on"}
_MONEY: Final = re.compile(
    r"(?P<verb>\b(?:holds?|keeps?|has) |is kept of )(?P<one>-?\d+)\b|(?<![-\w.])(?P<two>\d+)(?= is (?:held|kept))"
)
_COMMIT: Final = re.compile(r"(?P<id>[0-9A-Z]{26}) rev \d+ (?P<status>\w+): (?P<parts>.*)")
_SAYS: Final = re.compile(r"(reply|notification|query|statement) says (\w+) of (\w+)")
_BEGINS: Final = re.compile(r"(\w+) of (\w+) begins")
_STANDS: Final = re.compile(r"(\w+) (created|unknown|sent|over|succeeded)")
_TELLS: Final = re.compile(r"tells version (\d+): (.*)")
_FACTS: Final = {
    "absent": "it knows no such number",
    "silent": "nothing of use",
    "pending": "it is there, and nothing has moved",
    "over": "it is over",
    "moved": "the money has moved",
}
_ROADS: Final = {
    "reply": "answers a call",
    "notification": "notifies",
    "query": "answers a question",
    "statement": "lists",
}
_CALLS: Final = {
    "prepay": "is about to ask for a code for {}",
    "query": "is about to ask how {} stands",
    "close": "is about to have {} closed",
    "refund": "is about to have {} carried out",
    "query_refund": "is about to ask how {} stands",
}
_STATUS: Final = {
    "created": "is begun",
    "unknown": "is in doubt",
    "sent": "is known to the channel",
    "over": "is over",
    "succeeded": "has succeeded",
}


def clock(at_s: float) -> str:
    """Since the start of the world.

    >>> clock(75.5), clock(200_000.25)
    ('00:01:15.500', 'day 3, 07:33:20.250')
    """
    days, rest = divmod(at_s, 86_400)
    text = f"{int(rest // 3600):02}:{int(rest // 60 % 60):02}:{rest % 60:06.3f}"
    return f"day {int(days) + 1}, {text}" if days else text


def money(text: str) -> str:
    """The same with amounts as money.

    >>> money("the channels hold 1, the centre keeps -8800; 19999 is held")
    'the channels hold 0.01 CNY, the centre keeps -88.00 CNY; 199.99 CNY is held'
    """

    def yuan(found: re.Match[str]) -> str:
        minor = int(found["one"] or found["two"])
        return f"{found['verb'] or ''}{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02} CNY"

    return _MONEY.sub(yuan, text)


def name_of(number: str) -> str:
    """Of an attempt or refund, by the end of its number."""
    return f"refund {number}" if number.startswith("R") else f"attempt {int(number, 32) + 1}"


def told(trace: Iterable[tuple[float, str, str]], orders: Mapping[str, str]) -> list[str]:
    """The story. ``orders``: which order each payment is of, by its id."""
    lines = list(_lines(trace, orders))
    if len(lines) > HEAD + TAIL:
        left_out = f"... {len(lines) - HEAD - TAIL} lines are left out: --replay SEED --trace shows all"
        lines = [*lines[:HEAD], left_out, *lines[-TAIL:]]
    return lines


def _lines(trace: Iterable[tuple[float, str, str]], orders: Mapping[str, str]) -> Iterator[str]:
    stands: dict[str, str] = {}
    for at_s, who, what in trace:
        commit = _COMMIT.fullmatch(what)
        if commit is not None:
            yield from (f"{clock(at_s)}  {_named(words, orders)}" for words in _commit(commit, stands))
        elif who == "judge":
            yield f"{clock(at_s)}  NOT AS PROMISED: {_named(money(what.partition(': ')[2]), orders)}"
        elif who != "channel" and not _SKIPPED.match(what) and "another was faster" not in what:
            did = _WORDS.get(what, f"asks {what}" if what.startswith("POST ") else what)
            yield f"{clock(at_s)}  {_who(who)} {_named(money(did), orders)}".rstrip()


def _who(who: str) -> str:
    process, dot, life = who.partition(".")
    if dot and process.startswith("p"):
        return f"process {process[1:]}" + (f" (life {life})" if life != "1" else "")
    return f"the {who}"


def _named(text: str, orders: Mapping[str, str]) -> str:
    for id_, order in orders.items():
        whole = f"the payment of {order}"
        text = re.sub(rf"\bevt_{id_}_(\d+)", rf"version \1 of {whole}", text)
        for number in re.findall(rf"(?<=\b{id_})[0-9A-Z]{{2,6}}\b|(?<=_{id_})[0-9A-Z]{{2,6}}\b", text):
            text = text.replace(f"att_{id_}{number}", id_ + number)
            text = text.replace(id_ + number, f"{name_of(number)} of {whole}")
        text = text.replace(f"pay_{id_}", id_).replace(id_, whole)
    return text.replace("DIES ", "DIES, ")


def _commit(commit: re.Match[str], stands: dict[str, str]) -> Iterator[str]:
    """What a change says, each thing in a line of its own; of how things stand only what is new."""
    id_ = commit["id"]
    for part in commit["parts"].split("; "):
        if said := _SAYS.fullmatch(part):
            yield f"the channel {_ROADS[said[1]]} about {name_of(said[3])} of {id_}: {_FACTS[said[2]]}"
        elif begins := _BEGINS.fullmatch(part):
            if stands.get(f"{id_} calls") != part:
                stands[f"{id_} calls"] = part
                yield f"the centre {_CALLS.get(begins[1], 'calls for {}').format(f'{name_of(begins[2])} of {id_}')}"
        elif stand := _STANDS.fullmatch(part):
            if stands.get(id_ + stand[1]) != stand[2]:
                stands[id_ + stand[1]] = stand[2]
                yield f"for the centre {name_of(stand[1])} of {id_} {_STATUS[stand[2]]}"
        elif tells := _TELLS.fullmatch(part):
            yield f"the app is to hear version {tells[1]} of {id_}: {tells[2]}"
        elif part:
            yield f"a person is to look at {id_}: {part}"
    if stands.get(id_) != commit["status"]:
        stands[id_] = commit["status"]
        yield f"the centre now calls {id_} {commit['status']}"
