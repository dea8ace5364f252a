"""What the guards refuse to do, under the client's own tree."""

from __future__ import annotations

from oncepay.client.errors import OncepayError


class GuardRefused(OncepayError):
    """A guard would not be one if it went on. Nothing was done."""


class ConnectionUnknown(GuardRefused, TypeError):
    """No link to this kind of connection is known: make one yourself (``links.py``)."""


class NotInTransaction(GuardRefused):
    """The connection commits each statement by itself: what the guard marks and what the app writes would not be kept,
    or not kept, together."""


class HandlersMissing(GuardRefused):
    """Milestones have no handler: write one, or say ``ignore``."""


class OtherPayment(GuardRefused):
    """The order number was used for another payment before. Order numbers must be unique over all that shares the
    guards' tables, and a centre that was set up anew is another centre."""


class Contended(GuardRefused):
    """A row of the guards' was there and was gone, again and again: others take away what is looked for. Nothing was
    done: try again."""


class GuardUnavailable(GuardRefused):
    """Whether this submission is the first cannot be said now, and the app chose not to go on then. No order was
    made: submit again."""
