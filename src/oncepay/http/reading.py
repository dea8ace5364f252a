"""Strict reading of what came: JSON bodies and query strings. Nothing is coerced, nothing unknown is let through,
nothing reads in two ways; each refusal names its field and says where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote

import msgspec

from oncepay.domain.errors import Invalid
from oncepay.domain.once import StandsTwice, check_once
from oncepay.http.problem import BodyMalformed, MediaRefused

S = TypeVar("S", bound=msgspec.Struct)

_AT: Final = " - at `"
_PLACE = re.compile(r"(?:key in )?\$([^`]*)`")
_NAMED = re.compile(r"(?:missing required|contains unknown) field `([^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MEDIA = re.compile(rb"application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?", re.IGNORECASE)

QUERY_PARTS_MAX: Final = 20
NAME_MAX: Final = 100  # characters of a name that is not ours and is said back
DEPTH_MAX: Final = 10  # steps of a place that are said back; what is deeper is within


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query without parameters."""


def refuse_media(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that is not declared to be JSON. Raises MediaRefused."""
    given = headers.get(b"content-type", b"")
    if not _MEDIA.fullmatch(given):
        shown = given.decode("latin-1")[:100]
        raise MediaRefused(f"the Content-Type is {shown!r}" if shown else "the request has no Content-Type")


def read_json(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    """The body as the decoder's type. Raises BodyMalformed for what is not JSON, Invalid naming the field."""
    try:
        value = decoder.decode(raw)
        check_once(raw, msgspec.json.decode(raw))
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except msgspec.DecodeError as error:
        raise BodyMalformed(str(error) if raw else "the body is empty") from None
    except StandsTwice as error:
        raise Invalid(str(error), field=error.member[:NAME_MAX], pointer="") from None
    except UnicodeDecodeError:
        raise BodyMalformed("the body is not UTF-8") from None
    except RecursionError:
        raise BodyMalformed("the body is nested too deeply") from None
    if b"\\u0000" in raw:
        for found in _with_nul(msgspec.json.decode(raw), ()):
            place = found[:DEPTH_MAX]
            raise Invalid(f"{'.'.join(place)[: NAME_MAX * 2]} holds a NUL character", **_named(place))
    return value


def _with_nul(value: object, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Where text holds a NUL character: databases do not take it."""
    match value:
        case str() if "\0" in value:
            yield place
        case dict():
            for key, inner in value.items():
                if "\0" in key:
                    yield place
                yield from _with_nul(inner, (*place, key[:NAME_MAX]))
        case list():
            for index, inner in enumerate(value):
                yield from _with_nul(inner, (*place, str(index)))


def _invalid(message: str) -> Invalid:
    """The decoder's words, with the place they speak of."""
    said, at, tail = message.rpartition(_AT)  # what stands before it may be a name as long as the body
    found = _PLACE.fullmatch(tail) if at else None
    place = tuple(name or index for name, index in _STEP.findall(found[1])) if found else ()
    if found is None:
        said = message
    named = _NAMED.search(said)
    if named:
        place = (*place, named[1][:NAME_MAX])
    if place[-1:] == ("...",):  # of a free-form object the decoder does not say which key
        place = place[:-1]
    place = place[:DEPTH_MAX]
    said = said[: NAME_MAX * 2]
    return Invalid(f"{'.'.join(place)}: {said}" if place else said, **_named(place))


def _named(place: tuple[str, ...]) -> dict[str, str]:
    """A place as a dotted name, and as a JSON pointer in a URI fragment (RFC 6901)."""
    if not place:
        return {}
    parts = (quote(part.replace("~", "~0").replace("/", "~1"), safe="~") for part in place)
    return {"field": ".".join(place), "pointer": "#/" + "/".join(parts)}


def read_query(kind: type[S], raw: bytes) -> S:
    """The query string as its type. Raises Invalid naming the parameter, also for one that is unknown or repeated."""
    if not raw:
        return kind()
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=QUERY_PARTS_MAX,
        )
    except ValueError as error:
        raise Invalid(f"the query string is not well formed: {error}"[: NAME_MAX * 2]) from None
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:NAME_MAX]
        raise Invalid(f"{twice} is given twice", field=twice, parameter=twice)
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            name = name[:NAME_MAX]  # noqa: PLW2901 - it is not ours
            raise Invalid(f"{name!r} holds a NUL character", field=name, parameter=name)
    try:
        return msgspec.convert(found, type=kind, strict=False)
    except msgspec.ValidationError as error:
        refused = _invalid(str(error))
        name = str(refused.fields.get("field", ""))
        said = refused.detail.replace("Object contains", "the query contains")
        raise Invalid(said, field=name, parameter=name) from None
