"""Every refusal as an answer: RFC 9457 problem details. The families of ``domain/errors.py`` are mapped here, once.

``code`` is for programs, ``title`` and ``detail`` for people. ``retry``: the very same request may succeed later.
``field`` and ``pointer`` name what is wrong in the body. On verbs that may move money ``outcome`` says what became of
it: ``not_sent`` (nothing was asked of a channel for this request), ``unknown`` (repeat the request: it is safe and
tells), ``failed`` (the channel said no, for good).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from oncepay.domain import errors

TYPE_BASE: Final = "https://oncepay.dev/errors/"
MEDIA: Final = b"application/problem+json"

Outcome = Literal["not_sent", "unknown", "failed"]


# -- what only HTTP can refuse -----------------------------------------------------------------------------------


class RouteAbsent(errors.Absent):
    """Nothing is served under this path."""

    code, title = "route_absent", "There is nothing at this path."


class BodyMalformed(errors.OncepayError):
    """The body is not JSON, or not JSON that reads in one way only."""

    code, title = "body_malformed", "The body is not well-formed JSON."


class MethodRefused(errors.OncepayError):
    """The path is right, the method is not."""

    code, title = "method_not_allowed", "This path does not take this method."


class BodyTooLarge(errors.OncepayError):
    """The body is over the cap."""

    code, title = "body_too_large", "The body is too large."


class MediaRefused(errors.OncepayError):
    """The body is not declared as JSON."""

    code, title = "content_type_refused", "The body must be application/json."


class Internal(errors.OncepayError):
    """A fault of ours. What is stored is as it was stored; the request may be repeated."""

    code, title, retry = "internal", "Something went wrong on our side.", True


class Family(NamedTuple):
    """How a family of errors is answered."""

    status: int
    outcome: Outcome
    retry_after_s: int = 0


FAMILIES: Final[Mapping[type[errors.OncepayError], Family]] = {
    BodyMalformed: Family(400, "not_sent"),
    errors.Unauthorized: Family(401, "not_sent"),
    errors.ChannelRefused: Family(402, "failed"),
    errors.Absent: Family(404, "not_sent"),
    MethodRefused: Family(405, "not_sent"),
    errors.Conflict: Family(409, "not_sent"),
    errors.Busy: Family(409, "unknown", 1),
    BodyTooLarge: Family(413, "not_sent"),
    MediaRefused: Family(415, "not_sent"),
    errors.Invalid: Family(422, "not_sent"),
    errors.OncepayError: Family(500, "unknown"),
    errors.Overloaded: Family(503, "unknown", 1),
    errors.AccountPaused: Family(503, "not_sent", 5),
    errors.Unavailable: Family(503, "unknown", 2),
    errors.ChannelSilent: Family(503, "unknown", 2),
}
IN_BODY: Final = Family(422, "not_sent")  # what the path names and is absent is 404; what the body names is the body's


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused (RFC 9457). Further members say more about this very case."""

    type: Annotated[str, Meta(description="A URI for the kind of problem; ends in the code.")]
    title: Annotated[str, Meta(description="The kind of problem, for people.")]
    status: int
    detail: Annotated[str, Meta(description="This very case, for people.")]
    instance: Annotated[str, Meta(description="Names this request in our log.")]
    code: Annotated[str, Meta(description="The kind of problem, for programs. Stable.")]
    retry: Annotated[bool, Meta(description="Whether the very same request may succeed later.")]
    outcome: Annotated[
        Outcome | msgspec.UnsetType,
        Meta(
            description="What became of the money: `not_sent` nothing was asked of a channel for this request; "
            "`unknown` repeat the request, it is safe and tells; `failed` the channel said no, for good."
        ),
    ] = msgspec.UNSET
    field: Annotated[str | msgspec.UnsetType, Meta(description="The field that is wrong or differs.")] = msgspec.UNSET
    pointer: Annotated[str | msgspec.UnsetType, Meta(description="It, as a JSON pointer into the body.")] = (
        msgspec.UNSET
    )
    parameter: Annotated[str | msgspec.UnsetType, Meta(description="It, as a parameter of the query.")] = msgspec.UNSET


TEXT_MAX: Final = 1000  # characters: what is refused is quoted, and may be a name as long as the body
OURS: Final = frozenset(Problem.__struct_fields__) - {"field", "pointer", "parameter", "outcome"}


def family_of(error: errors.OncepayError) -> Family:
    """The nearest family along the error's ancestry."""
    if isinstance(error, errors.Absent) and "field" in error.fields:
        return IN_BODY
    return family_of_class(type(error))


def family_of_class(kind: type[errors.OncepayError]) -> Family:
    """The nearest family along a class's ancestry."""
    return next(FAMILIES[base] for base in kind.__mro__ if base in FAMILIES)


def problem(
    error: errors.OncepayError, *, request_id: str, money: bool, paths: Mapping[str, str] | None, now_ms: int
) -> tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]:
    """Status, body and headers of the answer. ``paths``: where the core's fields stand in this verb's body; None when
    it has none, then fields are parameters of the query."""
    family = family_of(error)
    if family.status == 500 and not isinstance(error, Internal):
        error = Internal()
    answer: dict[str, Any] = {
        "type": TYPE_BASE + error.code,
        "title": error.title,
        "status": family.status,
        "detail": error.detail[:TEXT_MAX],
        "instance": f"urn:oncepay:request:{request_id}",
        "code": error.code,
        "retry": error.retry,
    }
    if money:
        answer["outcome"] = family.outcome
    for name, value in error.fields.items():
        # a payment's own status must not pass for the answer's
        answer[f"payment_{name}" if name in OURS else name] = value[:TEXT_MAX] if isinstance(value, str) else value
    if "field" in answer and "pointer" not in answer and "parameter" not in answer:
        if paths is None:
            answer["parameter"] = answer["field"]
        else:
            answer["pointer"], answer["field"] = _place(answer["field"], paths)
    return family.status, msgspec.json.encode(answer), _headers(error, family, now_ms)


def _place(field: str, paths: Mapping[str, str]) -> tuple[str, str]:
    """Where a field of the core stands in the body: as a pointer and as a dotted name."""
    head, dot, rest = field.partition(".")
    place = paths.get(head, head) + dot + rest
    return "#/" + place.replace(".", "/"), place


def _headers(error: errors.OncepayError, family: Family, now_ms: int) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, errors.Unauthorized):
        return ((b"www-authenticate", b'Bearer realm="oncepay"'),)
    if isinstance(error, MethodRefused):
        return ((b"allow", str(error.fields["allow"]).encode()),)
    if not family.retry_after_s:
        return ()
    until_ms = error.fields.get("until_ms")
    wait_s = -(-(until_ms - now_ms) // 1000) if isinstance(until_ms, int) else family.retry_after_s
    return ((b"retry-after", b"%d" % max(wait_s, 1)),)
