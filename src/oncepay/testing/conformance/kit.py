"""What the author of a channel brings to its exercise: an account, and how its vendor talks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from oncepay.domain.attempt import Attempt, Call, Fact
from oncepay.ports import Account, Request

# genuine: sealed by the vendor; foreign: by a key that is not the vendor's; none: with no signature at all.
Seal = Literal["genuine", "foreign", "none"]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a message is to say. ``call``: the call that it answers, None for a notification. ``fact``: as what it must
    be read. ``attempt``: the number, amount and currency that it names; ``paying``: of a refund, the attempt that it
    reverses. ``account``: whom the vendor says it to."""

    call: Call | None
    fact: Fact
    attempt: Attempt
    account: Account
    paying: Attempt | None = None


class Said(msgspec.Struct, frozen=True):
    """A message before it is sealed. ``status``: of HTTP, for an answer."""

    content: bytes
    status: int = 200


class ChannelKit(ABC):
    """The vendor's side of a channel, as its tests play it. Two methods: what is said, and how it is sealed.

    ``account`` is complete and works. ``others`` are other merchants, or other applications of the same merchant: what
    the vendor says to them must not be taken for ours. ``now_ms``: a moment at which all keys are valid. ``payers``:
    what each method must know of the payer; one that is left out needs nothing. ``notifies``: whether the vendor says
    anything by itself.
    """

    account: Account
    others: Sequence[Account]
    now_ms: int
    payers: Mapping[str, Mapping[str, str]] = {}
    notifies: bool = True

    @abstractmethod
    def says(self, about: About) -> Said | None:
        """What the vendor says, all of it made of ``about``; None where this vendor has no such message."""

    @abstractmethod
    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        """The headers (names in lower case) and the body in which it says so. ``said.content`` may be anything."""

    def instruction(self, request: Request) -> bytes:
        """What the vendor is told by a request, which must be the same however often it is sent: its body, unless time,
        nonce or signature stand in there, or nobody can read it."""
        return request.body
