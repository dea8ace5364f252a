"""What a vendor's error code may mean for the attempt that was spoken of. A refusal is said of the call; of the attempt
it says something only where a channel's table says ``REFUSED`` or ``ABSENT``. Everything else is found out by a query.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from oncepay.domain.attempt import Fact, Reason
from oncepay.domain.change import Fault


class Verdict(NamedTuple):
    """What a code means for the attempt that was spoken of. ``attention``: the case that a person must look at."""

    fact: Fact
    reason: Reason = Reason.NONE
    fault: Fault = Fault.NONE
    attention: str = ""


REFUSED: Final = Verdict(Fact.OVER, Reason.REFUSED)  # this very instruction is no good and was not carried out
ABSENT: Final = Verdict(Fact.ABSENT)
ASK: Final = Verdict(Fact.SILENT)  # it says nothing certain of the attempt
ACCOUNT: Final = Verdict(Fact.SILENT, fault=Fault.ACCOUNT)
BALANCE: Final = Verdict(Fact.SILENT, fault=Fault.BALANCE)
MOMENT: Final = Verdict(Fact.SILENT, fault=Fault.MOMENT)

# Calls of one refund's number, by the timetables some minutes: so often it may be refused in words that leave it open.
# Then it is a refusal, and as it is of a repeated call, the number is over only when its query has said twice, well
# after, that there is no such refund. For ever it would hold up the others of its payment.
INSISTED: Final = 6
