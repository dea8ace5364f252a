"""Everything that can go wrong, as one tree. A class per thing a caller can act on.

* OncepayError
  x ArgumentInvalid      what was passed cannot be sent at all (also a ValueError)
  x CallFailed           a call to the centre came to nothing; ``outcome`` says what became of the money
    - NotSent            the centre was never reached
    - Unknown            it was, and no answer came that can be read: make the same call again
    - Refused            the centre said no, and why: ``code``, ``detail``, ``field`` ...
      + Invalid          mend the request
      + Unauthorized     no key, or not a key of an app
      + Absent           no such thing, or not yours
      + Conflict         it clashes with what is already there
        · KeyReused      the same order_no, refund_no or url with other content
      + ChannelRefused   the channel said no to this attempt, for good: try another way to pay
      + Unavailable      not now: make the same call again
  x EventRefused         what came in is not an event of yours; no handler may see it
    - SignatureInvalid   not signed with any of the secrets
      + TimeInvalid      signed with one of them, but too long ago or ahead of our clock
    - EventUnreadable    signed, but not JSON, or not an event as this version of the client knows them

On calls about money ``outcome`` is ``not_sent`` (nothing was asked of a channel for this call), ``unknown`` (make the
same call again: that is safe, and tells) or ``failed`` (the channel said no, for good). Only ``failed`` may be told to
a payer as a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Outcome = Literal["not_sent", "unknown", "failed"]


class OncepayError(Exception):
    """All that this package raises on purpose. It can be copied and pickled, as pools of processes do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[OncepayError], args: tuple[object, ...]) -> OncepayError:
    """An error as it was, without what its constructor asks for; the rest of it comes with its ``__dict__``."""
    return kind.__new__(kind, *args)


class ArgumentInvalid(OncepayError, ValueError):
    """What was passed cannot be sent at all."""


# -- calls -------------------------------------------------------------------------------------------------------


class CallFailed(OncepayError):
    """A call came to nothing. ``call``: which, as ``POST /v1/payments``. ``outcome``: what became of the money, None
    when the call was not about money. ``tries``: how often it was sent, or tried to be."""

    def __init__(self, text: str, *, call: str, outcome: Outcome | None, tries: int = 1) -> None:
        super().__init__(f"{call}: {text}")
        self.call = call
        self.outcome: Outcome | None = outcome
        self.tries = tries


class NotSent(CallFailed):
    """The centre was never reached: its name does not resolve, nobody listens, TLS failed, no connection was free."""


class Unknown(CallFailed):
    """The call left, and no answer came that can be read. It may have been done: make the same call again."""


class Refused(CallFailed):
    """The centre answered with problem details (RFC 9457).

    ``status``: of HTTP. ``code``: the kind of problem, for programs; stable. ``title`` and ``detail``: for people.
    ``retry``: the very same call may succeed later. ``field``: the member of the body, or the parameter, that is wrong
    or differs. ``request_id``: names the call in the centre's log. ``after_s``: how long the centre asks to wait before
    it is made again, 0 when it does not say. ``problem``: all members, those of this very case too (``payment``,
    ``until_ms``, ``kept_minor`` ...).
    """

    def __init__(
        self,
        problem: Mapping[str, Any],
        *,
        call: str,
        outcome: Outcome | None,
        tries: int = 1,
        request_id: str = "",
        after_s: float = 0.0,
    ) -> None:
        self.problem = dict(problem)
        self.status: int = problem["status"]
        self.code: str = problem["code"]
        self.title: str = problem.get("title", "")
        self.detail: str = problem.get("detail", "")
        self.retry: bool = problem.get("retry", False)
        self.field: str | None = problem.get("field")
        self.request_id = request_id
        self.after_s = after_s
        super().__init__(f"{self.code}: {self.detail or self.title}", call=call, outcome=outcome, tries=tries)


class Invalid(Refused):
    """The request is not valid. Mend it."""


class Unauthorized(Refused):
    """The key is missing, or is not one of the centre's, or is no longer valid."""


class Absent(Refused):
    """There is no such thing, or it is another app's."""


class Conflict(Refused):
    """It clashes with what is already there; ``code`` says with what."""


class KeyReused(Conflict):
    """The same ``order_no``, ``refund_no`` or ``url`` was used with other content; ``field`` differs."""


class ChannelRefused(Refused):
    """The channel said no to this attempt, for good. The payment is open: try another way to pay."""


class Unavailable(Refused):
    """The centre cannot do it now. The same call may succeed later."""


# -- events ------------------------------------------------------------------------------------------------------


class EventRefused(OncepayError):
    """What came in is not an event that may be acted upon. Answer 400; nothing may be done because of it."""


class SignatureInvalid(EventRefused):
    """It is not signed with any of the secrets: forged, altered, of another endpoint, or of another app."""


class TimeInvalid(SignatureInvalid):
    """It is signed with one of the secrets, but its time is too far from ours. ``ahead_s``: by how many seconds its
    time is ahead of our clock, negative when behind."""

    def __init__(self, text: str, ahead_s: float) -> None:
        super().__init__(text)
        self.ahead_s = ahead_s


class EventUnreadable(EventRefused):
    """It is not JSON, or not an event as this version of the client knows them."""
