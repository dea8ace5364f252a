"""The cash desk's side for the exercise: what it says, and how it is sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from cashdesk.wire import signature

from oncepay.domain.attempt import Call, Fact
from oncepay.ports import Account
from oncepay.testing import About, ChannelKit, Said, Seal

STATES: Final = {Fact.PENDING: "open", Fact.MOVED: "paid", Fact.OVER: "closed"}
BACK_STATES: Final = {Fact.PENDING: "taken", Fact.MOVED: "done", Fact.OVER: "refused"}


def merchant(name: str, base_url: str = "https://desk.example") -> Account:
    """A merchant of the desk's."""
    return Account(
        id=name,
        channel="cashdesk",
        identity={"merchant": name},
        settings={"base_url": base_url},
        secrets={"secret": f"the secret that the desk shares with {name}"},
    )


def sealed(to: Account, what: str, body: bytes, at_s: int) -> dict[str, str]:
    """The headers that go with a body."""
    return {"desk-time": str(at_s), "desk-signature": signature(to.secrets["secret"], at_s, what, body)}


class DeskKit(ChannelKit):
    """The vendor, as the exercise asks for it."""

    account = merchant("shop-1")
    others = (merchant("shop-2"),)
    now_ms = 1_800_000_000_000

    def says(self, about: About) -> Said | None:
        """One message; every word of it from ``about``."""
        attempt = about.attempt
        told = {
            "merchant": about.account.identity["merchant"],
            "number": attempt.no,
            "minor": attempt.minor,
            "currency": attempt.currency,
        }
        match about.call, about.fact:
            case ((Call.QUERY | Call.CLOSE | Call.QUERY_REFUND), Fact.ABSENT):
                error = "no_such_refund" if about.paying else "no_such_order"
                return self._json({"error": error, "number": attempt.no}, 404)
            case Call.PREPAY, Fact.OVER:
                return self._json({"error": "order_invalid", "number": attempt.no}, 400)
            case ((None | Call.QUERY | Call.CLOSE | Call.PREPAY), (Fact.PENDING | Fact.MOVED | Fact.OVER)):
                if about.paying:  # of refunds nothing is said but when asked
                    return None
                code = {"code": "4711"} if about.call is Call.PREPAY else {}
                return self._json({**told, "state": STATES[about.fact], "receipt": "R-1", **code})
            case ((Call.REFUND | Call.QUERY_REFUND), (Fact.PENDING | Fact.MOVED | Fact.OVER)):
                return self._json({**told, "order": attempt.of, "state": BACK_STATES[about.fact]})
        return None

    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        """Signed with what the desk shares with the merchant that it speaks to."""
        if seal == "none":
            return {}, said.content
        to = about.account if seal == "genuine" else merchant("nobody")
        what = "notice" if about.call is None else str(said.status)
        return sealed(to, what, said.content, self.now_ms // 1000), said.content

    def _json(self, told: dict[str, object], status: int = 200) -> Said:
        return Said(json.dumps(told).encode(), status)
