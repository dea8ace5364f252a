"""What a consumer says when it cannot even begin, under the client's own tree."""

from __future__ import annotations

from oncepay.client.errors import OncepayError


class LibraryMissing(OncepayError, ImportError):
    """The library that speaks to this kind of broker is not installed; it comes with an extra of this package."""
