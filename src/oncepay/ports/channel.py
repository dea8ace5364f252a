"""A channel: a translator that knows one vendor, and what crosses the seam to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.capabilities import Capabilities
from oncepay.domain.change import Credential, Evidence
from oncepay.ports.transport import Answer, Request


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One merchant identity at one channel, opened: ``identity`` never changes, ``secrets`` do.

    ``identity``: what the channel calls us, as a merchant's number. ``settings``: base URLs, key ids, public keys.
    ``secrets``: unsealed. ``revision`` goes up with each change, so that parsed keys can be kept by (id, revision).
    """

    id: str
    channel: str
    identity: Mapping[str, str]
    settings: Mapping[str, Any] = {}
    secrets: Mapping[str, str] = {}
    revision: int = 1
    retired: bool = False


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a first prepay or refund body is made of, beyond the attempt itself. Amounts in minor units."""

    attempt: Attempt
    subject: str
    app: str
    order_no: str
    notify_url: str
    return_url: str = ""  # where the payer's browser comes back to: ours, which asks and sends the payer on
    payer: Mapping[str, str] = {}  # openid, client_ip ...: what the method asks for
    options: Mapping[str, Any] = {}  # the vendor's own, checked by the channel
    paying: Attempt | None = None  # out: the attempt that it reverses
    note: str = ""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says. ``refresh``: it names a key we do not hold; fetch keys, then ask again."""

    evidence: tuple[Evidence, ...]
    credential: Credential | None = None
    refresh: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notification whose signature was verified. ``numbers``: all numbers of ours it speaks of, payment first.
    ``echo``: app and order_no as they came back in the vendor's echo field, if they did."""

    numbers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    echo: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that is not believed. ``probe``: the vendor tests whether we verify; no alarm.
    ``refresh``: it names a key we do not hold."""

    why: str
    probe: bool = False
    refresh: bool = False


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """How to answer a notification on the wire."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


class Channel(Protocol):
    """A translator that knows one vendor. No sockets, clocks or repeats inside: bytes in, facts out."""

    name: str
    capabilities: Capabilities

    def check_account(self, account: Account) -> None:
        """Refuse an account that cannot work (missing key, key that does not parse). Raises Invalid naming it."""
        ...

    def check_start(self, method: str, payer: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """Refuse payer parameters or options that the method cannot take. Raises PayerInvalid, Invalid."""
        ...

    def draft(self, draft: Draft, account: Account) -> bytes:
        """The first body for an attempt's number (prepay, or refund when it is ``out``)."""
        ...

    def credential(self, attempt: Attempt, account: Account, *, body: bytes) -> Credential:
        """What the payer gets by a method that is not made by a call: of the stored first body and the account's keys
        alone, so that it is the same whenever it is made."""
        ...

    def build(
        self, call: Call, attempt: Attempt, account: Account, *, body: bytes, now_ms: int, nonce: str, host: int
    ) -> Request:
        """One signed request. ``body``: the stored first body for prepay and refund, empty for the others.
        ``host``: 0, 1 ...: which of the vendor's hosts to use (modulo their number)."""
        ...

    def read(self, call: Call, answer: Answer, attempt: Attempt, account: Account, *, now_ms: int, nonce: str) -> Read:
        """What an answer to ``call`` tells us. Whatever it cannot read is silence, never a refusal."""
        ...

    def read_notification(
        self, headers: Mapping[str, str], body: bytes, account: Account, *, now_ms: int
    ) -> Notice | Refused:
        """Verify over the raw bytes, then read. ``headers``: names in lower case. Evidence is compared with the
        account; amounts are compared with the attempt by the core."""
        ...

    def acknowledge(self, *, taken: bool) -> Acknowledgement:
        """The answer to a notification: taken, or "send it again"."""
        ...

    def build_keys(self, account: Account, *, now_ms: int, nonce: str) -> Request | None:
        """The request that fetches the vendor's current keys, or None where there is no such call."""
        ...

    def read_keys(self, answer: Answer, account: Account, *, now_ms: int) -> Mapping[str, Any] | None:
        """New ``settings`` of the account with the vendor's keys added (old ones stay), or None if not believed."""
        ...
