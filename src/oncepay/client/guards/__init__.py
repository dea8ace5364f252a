"""The three guards of a business app: create an order once, take each result in once, ask when it was not told.

They stand on the app's own database: on the transaction in which the app writes, and on tables of their own there
(``tables``, ``make_tables``). See ``docs/integrate/guards.md``.
"""

from oncepay.client.guards import transactions
from oncepay.client.guards.aside import Aside
from oncepay.client.guards.dialects import tables
from oncepay.client.guards.doors import LocalDoor
from oncepay.client.guards.errors import (
    ConnectionUnknown,
    Contended,
    GuardRefused,
    GuardUnavailable,
    HandlersMissing,
    NotInTransaction,
    OtherPayment,
)
from oncepay.client.guards.fingerprint import Unordered, fingerprint
from oncepay.client.guards.inbox import AsyncInbox, Inbox, Poisoned
from oncepay.client.guards.links import AsyncDbapiLink, DbapiLink, async_link_of, link_of
from oncepay.client.guards.milestones import Milestone, Word
from oncepay.client.guards.submission import AsyncSubmissionGuard, Submission, SubmissionGuard
from oncepay.client.guards.watch import AsyncWatch, Watch

__all__ = [
    "Aside",
    "AsyncDbapiLink",
    "AsyncInbox",
    "AsyncSubmissionGuard",
    "AsyncWatch",
    "ConnectionUnknown",
    "Contended",
    "DbapiLink",
    "GuardRefused",
    "GuardUnavailable",
    "HandlersMissing",
    "Inbox",
    "LocalDoor",
    "Milestone",
    "NotInTransaction",
    "OtherPayment",
    "Poisoned",
    "Submission",
    "SubmissionGuard",
    "Unordered",
    "Watch",
    "Word",
    "async_link_of",
    "fingerprint",
    "link_of",
    "tables",
    "transactions",
]
