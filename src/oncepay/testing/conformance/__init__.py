"""What every channel must do, whatever its vendor, as one function that its tests call.

    from oncepay.testing import exercise_channel

    def test_it_is_a_channel() -> None:
        exercise_channel(CashDesk, DeskKit())

``DeskKit`` is the vendor's side: see ``ChannelKit``. Neither pytest nor anything else is needed. How to write a channel
and its kit: ``docs/channels/adding.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from oncepay.ports import Channel
from oncepay.testing.conformance import answers, capabilities, notifications, requests, watch
from oncepay.testing.conformance.kit import About, ChannelKit, Said, Seal
from oncepay.testing.conformance.subject import ChannelBroken, Complaint, Subject

__all__ = ["About", "ChannelBroken", "ChannelKit", "Complaint", "Said", "Seal", "exercise_channel"]

RULES: Final[tuple[Callable[[Subject], None], ...]] = (
    capabilities.abilities_hold_together,
    capabilities.never_paid_costs_little,
    requests.bad_accounts_are_refused,
    requests.wishes_are_checked,
    requests.drafts_are_made_of_their_parts,
    requests.credentials_without_a_call,
    requests.requests_repeat_themselves,
    requests.keys_are_fetched_with_care,
    answers.genuine_answers_are_read,
    answers.silence_is_never_refusal,
    answers.only_what_is_signed_is_believed,
    answers.answers_are_about_what_was_asked,
    answers.nothing_makes_it_raise,
    notifications.genuine_notifications_are_read,
    notifications.every_byte_counts,
    notifications.another_merchants_is_not_ours,
    notifications.no_notification_makes_it_raise,
    notifications.acknowledgements_differ,
    watch.it_only_translates,
)


def exercise_channel(make: Callable[[], Channel], kit: ChannelKit) -> Mapping[str, int]:
    """Hold a channel to all that the engine relies on, with the real core as the judge of what it understood.

    make: what the entry point names; called without arguments. kit: the vendor's side. Returns how often each rule was
    tried. Raises ChannelBroken with everything that is wrong: which rule, in which call, and the bytes.
    """
    subject = Subject(make, kit)
    for rule in RULES:
        subject.rule = (rule.__doc__ or rule.__name__).rstrip(".")
        rule(subject)
        if rule is RULES[0] and subject.complaints:
            break  # what cannot be cannot be asked about either
    if subject.complaints:
        raise ChannelBroken(subject.channel.name, subject.complaints)
    return dict(subject.tried)
