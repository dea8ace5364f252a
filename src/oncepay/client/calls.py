"""A call to the centre as a value: what is sent, how its answer is read, and why it may be made again.

Nothing here waits, looks at a clock or touches a socket. ``payments.py``, ``refunds.py`` and so on describe the calls,
``tries.py`` says when one is made again, ``client.py`` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from oncepay.client import errors
from oncepay.client.errors import ArgumentInvalid, Outcome, Refused, Unknown
from oncepay.client.shapes import CaseSeen, PaymentStarted, Refund, Whole

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

WORDS_MAX: Final = 200  # of an answer that is not the centre's, in an error


class Answer(NamedTuple):
    """What came back. ``headers``: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _itself(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """One call. ``shape``: what the answer is read as, None when it has no body; ``then``: what the caller gets of it.
    ``about``: members of the answer that must be what was asked for, or it answers something else."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    shape: Any
    then: Callable[[Any], T_co] = _itself
    about: tuple[tuple[str, object], ...] = ()
    money: bool = False  # errors say what became of it
    again: str = "it only reads"  # why it may be made again after a lost answer; with ``once``, what to do instead
    once: bool = False  # not made again by itself once it may have arrived
    gone: str = ""  # the code of a refusal that says, after a lost answer, that it was done
    wait_s: float = 0.0  # how long the centre was asked to wait with its answer

    @property
    def name(self) -> str:
        """How errors name it."""
        return f"{self.method} {self.path}"

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


# -- describing --------------------------------------------------------------------------------------------------

_encode: Final = msgspec.json.Encoder().encode


def json_of(**members: object) -> bytes:
    """A JSON body of those members that are not None. Raises ArgumentInvalid."""
    return encoded({name: value for name, value in members.items() if value is not None})


def encoded(value: object) -> bytes:
    """It as JSON. Raises ArgumentInvalid."""
    try:
        return _encode(value)
    except (TypeError, msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise ArgumentInvalid(f"the arguments cannot be written as JSON: {error}") from None


def given(name: str, value: str) -> str:
    """Refuse empty text where it would mean "any". Raises ArgumentInvalid."""
    if not value:
        raise ArgumentInvalid(f"{name} is empty")
    return value


def query_of(**parameters: str | int | None) -> tuple[tuple[str, str], ...]:
    """A query of those parameters that are not None, nor text that is empty."""
    given = tuple((name, str(value)) for name, value in parameters.items() if value is not None and value != "")
    try:
        urlencode(given)
    except UnicodeEncodeError as error:
        raise ArgumentInvalid(f"the arguments cannot be written as a query: {error}") from None
    return given


# What may stand in a path as one of its steps: nothing that leads elsewhere, and not only full stops.
_STEP: Final = re.compile(r"(?!\.+$)[!-.0-~]+", re.ASCII)


def path_of(template: str, **names: str) -> str:
    """The path with what it names. Raises ArgumentInvalid for what can be no id or number."""
    for name, value in names.items():
        if not _STEP.fullmatch(str(value)):
            raise ArgumentInvalid(f"{name} must be its id or number, not {value!r}")
    return template.format(**{name: quote(value, safe="") for name, value in names.items()})


def all_of(whole: Whole[T]) -> tuple[T, ...]:
    """What a list that comes whole holds."""
    return whole.data


# -- reading -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


def read(call: Call[T], answer: Answer, tries: int) -> T:
    """What the caller gets of an answer of success. Raises Unknown when it cannot be read, or answers something else:
    it was done, or is about to be, but what it says is not to be relied upon."""
    if call.shape is None:
        return call.then(None)
    try:
        value = _decoder(call.shape).decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unknown(call, f"{_not_understood(answer)} ({error})", tries) from None
    for member, wanted in call.about:
        if getattr(value, member) != wanted:
            raise unknown(call, f"the answer is about another {member} than {wanted}", tries)
    if isinstance(value, PaymentStarted | Refund | CaseSeen) and answer.headers.get("oncepay-replayed") == "true":
        value = msgspec.structs.replace(value, replayed=True)
    return call.then(value)


def problem_of(answer: Answer) -> dict[str, Any] | None:
    """The problem details in an answer, None when it is not the centre's."""
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/problem+json":
        return None
    try:
        problem = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return problem if isinstance(problem.get("code"), str) else None


def after_s_of(answer: Answer) -> float:
    """Seconds that the centre asks to wait. A date, which only a proxy would send, is passed over."""
    text = answer.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0.0


_KINDS: Final[Mapping[int, type[Refused]]] = {
    401: errors.Unauthorized,
    402: errors.ChannelRefused,
    404: errors.Absent,
    409: errors.Conflict,
    **dict.fromkeys((400, 405, 413, 415, 422, 431), errors.Invalid),
}


def refused(call: Call[Any], answer: Answer, problem: Mapping[str, Any], tries: int, *, doubt: bool) -> Refused:
    """The refusal that a problem is. ``doubt``: an earlier try may have been done, and this answer not know of it."""
    outcome: Outcome | None = None
    if call.money:
        said = problem.get("outcome", "unknown" if answer.status >= 500 else "not_sent")
        outcome = "failed" if said == "failed" else "not_sent" if said == "not_sent" and not doubt else "unknown"
    kind = _KINDS.get(answer.status, Refused)
    if answer.status >= 500 or problem.get("retry"):
        kind = errors.Unavailable
    elif problem["code"] == "key_reused":
        kind = errors.KeyReused
    return kind(
        {**problem, "status": answer.status},
        call=call.name,
        outcome=outcome,
        tries=tries,
        request_id=answer.headers.get("oncepay-request-id", ""),
        after_s=after_s_of(answer),
    )


def unknown(call: Call[Any], why: str, tries: int) -> Unknown:
    """Nobody can say now whether it was done."""
    if call.method != "GET":
        what = f"do not simply make it again: {call.again}" if call.once else f"make the same call again: {call.again}"
        why = f"{why}. Whether it was done is not known; {what}"
    return Unknown(why, call=call.name, outcome="unknown" if call.money else None, tries=tries)


def strange(call: Call[Any], answer: Answer, tries: int) -> Unknown:
    """An answer that is not in the words of a centre: of a proxy, or from another address."""
    return unknown(call, _not_understood(answer), tries)


def _not_understood(answer: Answer) -> str:
    media = answer.headers.get("content-type", "nothing declared")
    said = " ".join(answer.body[: 4 * WORDS_MAX].decode("utf-8", "replace").split())[:WORDS_MAX]
    location = answer.headers.get("location", "")[:WORDS_MAX]
    where = f" to {location}" if location else ""
    return (
        f"the answer is {answer.status}{where} ({media}) and not as this version of oncepay knows a centre's: is the "
        f"address right, and is a newer version to be installed? It says: {said!r}"
    )
