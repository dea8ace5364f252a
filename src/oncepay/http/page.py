"""The API as a page to read, made of its OpenAPI document. One file: nothing is fetched from anywhere, nothing runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

_PAGES = files("oncepay.http") / "pages"
STYLE: Final = (_PAGES / "docs.css").read_text(encoding="utf-8")
_DIGEST: Final = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
CSP: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
).encode()

DEPTH_MAX: Final = 4


def render(document: dict[str, Any]) -> bytes:
    """The page of an OpenAPI document of ours."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["prose"] = _prose
    template = environment.from_string((_PAGES / "docs.html").read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    groups = [
        {"name": tag["name"], "about": tag["description"], "verbs": list(_verbs(document, tag["name"], schemas))}
        for tag in document["tags"]
    ]
    info = document["info"]
    return template.render(
        title=info["title"],
        version=info["version"],
        about=info["description"],
        groups=[group for group in groups if group["verbs"]],
        style=Markup(STYLE),  # noqa: S704 - a file of ours
    ).encode()


def _prose(text: str) -> Markup:
    """Paragraphs, with words in backticks as code."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        parts = str(escape(paragraph)).split("`")
        paragraphs.append("".join(f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(parts)))
    return Markup("".join(f"<p>{paragraph}</p>" for paragraph in paragraphs))  # noqa: S704 - escaped above


def _verbs(document: dict[str, Any], tag: str, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if tag in operation["tags"]:
                yield _verb(method.upper(), path, operation, schemas)
    for name, operations in document["webhooks"].items():
        for operation in operations.values():
            if tag in operation["tags"]:
                yield _verb("WEBHOOK", name, operation, schemas)


def _verb(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    answers = []
    told: list[dict[str, Any]] = []
    for status, said in operation["responses"].items():
        shown = said.get("content", {}).get("application/json")
        if shown in told:  # once is enough
            shown = None
        elif shown:
            told.append(shown)
        answers.append(
            {
                "status": status,
                "what": said["description"],
                "fields": list(_fields(shown["schema"], schemas)) if shown else [],
            }
        )
    return {
        "anchor": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "about": operation["description"],
        "open": not operation["security"],
        "parameters": [
            {
                "name": parameter["name"],
                "type": _type(parameter["schema"], schemas),
                "required": parameter["required"],
                "about": parameter["description"],
            }
            for parameter in operation.get("parameters", [])
        ],
        "fields": list(_fields(body["schema"], schemas)) if body else [],
        "answers": answers,
    }


def _fields(schema: dict[str, Any], schemas: dict[str, Any], at: str = "", depth: int = 0) -> Iterator[dict[str, Any]]:
    """The fields of an object one by one, inner ones by their path."""
    schema = _resolved(schema, schemas)
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        place = f"{at}{name}"
        yield {
            "name": place,
            "type": _type(field, schemas),
            "required": name in required,
            "about": field.get("description") or _resolved(field, schemas).get("description", ""),
        }
        inner = _inner(field, schemas)
        if inner is not None and depth < DEPTH_MAX:
            yield from _fields(inner[1], schemas, f"{place}{inner[0]}", depth + 1)


def _inner(field: dict[str, Any], schemas: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The object inside a field, in a list or not."""
    for option in field.get("anyOf", [field]):
        found = _resolved(option, schemas)
        if found.get("type") == "array":
            items = _resolved(found.get("items", {}), schemas)
            return ("[].", items) if "properties" in items else None
        if "properties" in found:
            return ".", found
    return None


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    return found


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(_type(option, schemas) for option in schema["anyOf"])
    found = _resolved(schema, schemas)
    words = " | ".join(json.dumps(word) for word in found["enum"]) if "enum" in found else str(found.get("type", "any"))
    if found.get("type") == "array":
        words = f"list of {_type(found.get('items', {}), schemas)}"
    bounds = [
        f"{sign} {found[name]}"
        for name, sign in (("minimum", "≥"), ("maximum", "≤"), ("minLength", "length ≥"), ("maxLength", "length ≤"))
        if name in found
    ]
    if "default" in found:
        bounds.append(f"default {json.dumps(found['default'])}")
    return f"{words} ({', '.join(bounds)})" if bounds else words
