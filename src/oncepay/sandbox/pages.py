"""Pages for people: server-rendered, no scripts, no outside assets, everything escaped.

Templates are named from this folder: ``pages/front.html``, ``wechat/pages/cashier.html``.
"""

import io
from pathlib import Path
from typing import Final

import jinja2
import segno
from starlette.responses import HTMLResponse, Response

from oncepay.sandbox.clock import beijing

QR_TYPES: Final = {"svg": "image/svg+xml", "png": "image/png"}


class Pages:
    """Turns a template and what it shows into an answer."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["yuan"] = lambda fen: f"{fen // 100}.{fen % 100:02d}"
        self._templates.filters["time"] = lambda at: f"{beijing(at):%Y-%m-%d %H:%M:%S}"

    def page(self, name: str, status: int = 200, /, *, form_action: str = "", **values: object) -> Response:
        """``form_action``: the one other origin to which a form of this page may lead."""
        page = self._templates.get_template(name).render(**values)
        policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self' {form_action}"
        return HTMLResponse(page, status, {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})


def picture(text: str, form: str) -> Response | None:
    """A QR code of ``text`` as svg or png; None for any other form."""
    if form not in QR_TYPES:
        return None
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind=form, scale=8, border=2)
    return Response(out.getvalue(), media_type=QR_TYPES[form])
