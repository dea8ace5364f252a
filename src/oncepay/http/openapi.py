"""``/openapi.json``: the table of verbs, written out as OpenAPI 3.1. Nothing here is said twice: paths, parameters,
bodies, answers, problems and who may call all come from the declarations that serve the requests."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

import oncepay
from oncepay.domain import errors
from oncepay.http import answers
from oncepay.http.exchange import BODY_MAX, Answer, Resource, Verb
from oncepay.http.problem import (
    MEDIA,
    BodyMalformed,
    BodyTooLarge,
    Internal,
    MediaRefused,
    Problem,
    family_of,
    family_of_class,
)
from oncepay.http.reading import Nothing

REF: Final = "#/components/schemas/{name}"
PROBLEM: Final = MEDIA.decode()

TAGS: Final = {
    "payments": "What is owed once for one order.",
    "refunds": "What goes back once.",
    "events": "One event a version: the pull road.",
    "endpoints": "Where events are sent, signed by Standard Webhooks.",
    "deliveries": "Events on their way to endpoints.",
    "cases": "What a person must look at.",
    "doors": "For channels and payers; without a key.",
    "health": "For those who watch over it.",
    "about": "This API.",
}
NAMES: Final = {
    "payment": ("pay_ and the payment's id.", "pay_0123456789ABCDEFGHJKMNPQRS"),
    "refund": ("ref_ and the refund's id.", "ref_0123456789ABCDEFGHJKMNPQRSTVWXYZ"),
    "refund_no": ("Your own number of the refund.", "A-1001-1"),
    "event": ("evt_ and the event's id.", "evt_0123456789ABCDEFGHJKMNPQRS_1"),
    "delivery": ("dlv_ and the delivery's id.", "dlv_0123456789ABCDEFGHJKMNPQRS_1_0123456789abcdef"),
    "endpoint": ("The endpoint's id.", "0123456789abcdef"),
    "case": ("case_ and the case's id.", "case_0123456789ABCDEFGHJKMNPQRS"),
    "channel": ("The channel that tells.", "a-channel"),
    "account": ("The account that it tells about.", "main"),
}
INTRODUCTION: Final = """\
A payment centre. Amounts are integers in minor units, times milliseconds since 1970, UTC. Every call that changes
something has a natural key (`order_no`, `refund_no`): repeating it is always safe and answers the same, with
`Oncepay-Replayed: true`. Refusals are problem details (RFC 9457) with a stable `code`; on calls about money `outcome`
says what became of it. Every answer carries `Oncepay-Request-Id`.
"""


def document(resources: Iterable[Resource]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these resources."""
    resources = tuple(resources)
    shapes = sorted(set(_shapes(resources)), key=str)
    schemas, components = msgspec.json.schema_components(shapes, ref_template=REF)
    schema_of = dict(zip(shapes, schemas, strict=True))
    paths = {
        resource.path: {
            method.lower(): _operation(resource, verb, schema_of) for method, verb in resource.verbs.items()
        }
        for resource in resources
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "oncepay",
            "version": oncepay.__version__,
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": {"payment.changed": {"post": _webhook(schema_of)}},
        "components": {
            "schemas": {name: _tidied(schema) for name, schema in components.items()},
            "headers": {
                "Oncepay-Request-Id": {"description": "Names this request in our log.", "schema": {"type": "string"}},
                "Oncepay-Replayed": {
                    "description": "The request had been made before; nothing new was done.",
                    "schema": {"const": "true"},
                },
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "A key of your app."}},
        },
    }


def _shapes(resources: Iterable[Resource]) -> Iterator[Any]:
    yield from (Problem, answers.Event)
    for resource in resources:
        for verb in resource.verbs.values():
            if verb.body is not None:
                yield verb.body
            yield from (answer.shape for answer in verb.answers if answer.shape not in {None, str, bytes})


def _operation(resource: Resource, verb: Verb, schema_of: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{resource.tag}.{verb.run.__name__}",
        "tags": [resource.tag],
        "summary": verb.summary,
        "description": inspect.getdoc(verb.run) or "",
        "parameters": [*_in_path(resource.path), *_in_query(verb)],
        "responses": _responses(verb, schema_of),
    }
    if verb.body is not None:
        operation["requestBody"] = {
            "required": not verb.body_optional,
            "content": {"application/json": {"schema": schema_of[verb.body]}},
        }
    elif verb.raw_max:
        operation["requestBody"] = {
            "required": True,
            "description": f"As the channel sends it, at most {verb.raw_max} bytes.",
            "content": {"*/*": {}},
        }
    operation["security"] = [{"key": []}] if verb.auth == "key" else []
    return operation


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        text, example = NAMES[name]
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "description": text, "schema": schema, "example": example}


def _in_query(verb: Verb) -> Iterator[dict[str, Any]]:
    if verb.query is Nothing or verb.query is None:
        return
    (_,), components = msgspec.json.schema_components([verb.query], ref_template="{name}")
    for name, schema in components[verb.query.__name__]["properties"].items():
        # what is said of the parameter goes before what is said of its type
        shown = _tidied({**components.get(schema.pop("$ref", ""), {}), **schema})
        text = shown.pop("description", "")
        yield {"name": name, "in": "query", "required": False, "description": text, "schema": shown}


def _tidied(schema: Any) -> Any:
    """Without what says nothing: titles that repeat a name, empty defaults."""
    if isinstance(schema, list):
        return [_tidied(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _tidied(inner) for name, inner in value.items()} if key == "properties" else _tidied(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value in ("", {}))
    }


def _responses(verb: Verb, schema_of: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in verb.answers:
        responses[str(answer.status)] = _answer(answer, schema_of)
    for status, kinds in sorted(_problems(verb).items()):
        codes = ", ".join(f"`{code}`" for code in sorted({kind.code for kind in kinds}))
        said = responses.setdefault(str(status), {"description": "", "headers": _headers(), "content": {}})
        said["description"] = f"{said['description']} {codes}".strip()
        said["content"][PROBLEM] = {"schema": schema_of[Problem]}
        if any(family_of_class(kind).retry_after_s for kind in kinds):
            said["headers"]["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    return responses


def _headers() -> dict[str, Any]:
    return {"Oncepay-Request-Id": {"$ref": "#/components/headers/Oncepay-Request-Id"}}


def _answer(answer: Answer, schema_of: dict[Any, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"description": answer.what, "headers": _headers(), "content": {}}
    if answer.status in {200, 202} and answer.shape is not None:
        said["headers"]["Oncepay-Replayed"] = {"$ref": "#/components/headers/Oncepay-Replayed"}
    if answer.shape is None:
        return said
    free: dict[Any, Any] = {str: {"type": "string"}, bytes: {}}  # bytes: whatever that channel wants to hear
    schema = free[answer.shape] if answer.shape in free else schema_of[answer.shape]
    said["content"][answer.media] = {"schema": schema}
    return said


def _problems(verb: Verb) -> dict[int, set[type[errors.OncepayError]]]:
    """The refusals of a verb by status: its own, and those that come with what it reads and who may call."""
    kinds: set[type[errors.OncepayError]] = {*verb.errors, Internal}
    if verb.auth == "key":
        kinds |= {errors.Unauthorized, errors.Unavailable}
    if verb.body is not None:
        kinds |= {BodyMalformed, BodyTooLarge, MediaRefused}
    if verb.raw_max:
        kinds.add(BodyTooLarge)
    kinds.add(errors.Invalid)
    found: dict[int, set[type[errors.OncepayError]]] = {}
    for kind in kinds:
        status = family_of_class(kind).status
        if kind is errors.AccountAbsent:
            status = family_of(kind(field="account")).status
        found.setdefault(status, set()).add(kind)
    return found


def _webhook(schema_of: dict[Any, Any]) -> dict[str, Any]:
    return {
        "operationId": "payment.changed",
        "tags": ["endpoints"],
        "summary": "What your endpoint gets",
        "description": "One new version of a payment, at least once, signed by Standard Webhooks (`webhook-id`, "
        "`webhook-timestamp`, `webhook-signature`). Verify it, drop repeats by `id` and older versions by `version`, "
        f"answer 2xx. The body has at most {BODY_MAX} bytes.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of[answers.Event]}}},
        "responses": {
            "2XX": {"description": "Taken. Anything else is tried again, for 30 days."},
            "410": {"description": "The endpoint is gone: it is disabled."},
        },
        "security": [],
    }
