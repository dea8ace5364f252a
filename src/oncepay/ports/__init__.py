"""The seams of the house: Protocols, and the records that cross them. Nothing here does anything."""

from oncepay.ports.chance import Clock, Dice
from oncepay.ports.channel import Account, Acknowledgement, Channel, Draft, Notice, Read, Refused
from oncepay.ports.ledger import Ledger
from oncepay.ports.publisher import Message, Outcome, Publisher
from oncepay.ports.records import (
    App,
    AppKey,
    CaseRow,
    DeliveryMark,
    DeliveryRow,
    Due,
    Endpoint,
    EventRow,
    EvidenceRow,
    Page,
    SealedAccount,
    UnappliedRow,
)
from oncepay.ports.shared import Limits, Wake
from oncepay.ports.transport import Answer, Answered, NotSent, Request, Transport, Unknown

__all__ = [
    "Account",
    "Acknowledgement",
    "Answer",
    "Answered",
    "App",
    "AppKey",
    "CaseRow",
    "Channel",
    "Clock",
    "DeliveryMark",
    "DeliveryRow",
    "Dice",
    "Draft",
    "Due",
    "Endpoint",
    "EventRow",
    "EvidenceRow",
    "Ledger",
    "Limits",
    "Message",
    "NotSent",
    "Notice",
    "Outcome",
    "Page",
    "Publisher",
    "Read",
    "Refused",
    "Request",
    "SealedAccount",
    "Transport",
    "UnappliedRow",
    "Unknown",
    "Wake",
]
