"""What strangers must not get past: signatures, contents, owners, addresses. Most were somebody's failure: payment
centres, shops and plugins that took a forged or a foreign message for money."""

from __future__ import annotations

from typing import Final

from oncepay.channels import forms, rsa
from oncepay.channels.alipay import answers as alipay_answers
from oncepay.channels.alipay import channel as alipay_channel
from oncepay.channels.alipay import facts as alipay_facts
from oncepay.channels.alipay import notifications as alipay
from oncepay.channels.unionpay import chain as unionpay_chain
from oncepay.channels.unionpay import channel as unionpay_channel
from oncepay.channels.unionpay import keys as unionpay_keys
from oncepay.channels.unionpay import notifications as unionpay
from oncepay.channels.unionpay import wire as unionpay_wire
from oncepay.channels.wechat import answers as wechat_answers
from oncepay.channels.wechat import certificates as wechat_certificates
from oncepay.channels.wechat import channel as wechat_channel
from oncepay.channels.wechat import facts as wechat_facts
from oncepay.channels.wechat import keys as wechat_keys
from oncepay.client import webhooks
from oncepay.domain import once
from oncepay.domain.attempt import Fact
from oncepay.engine import admin, intake, vault
from oncepay.http import auth, endpoints, named, problem
from oncepay.outbound import client
from oncepay.publishers import signing, targets, webhook
from oncepay.store import sqlite_directory
from oncepay.testing.edits import Plant, edit, entry, put
from tests.planted.bug import ASSERTED, Bug
from tests.planted.core import PHANTOM
from tests.planted.store import DOUBT, LOST

WECHAT: Final = "tests/channels/test_wechat_"
ALIPAY: Final = "tests/channels/test_alipay_"
UNIONPAY: Final = "tests/channels/test_unionpay_"
OWNERS: Final = "tests/wire/test_api_owners.py::test_"
ANOTHERS: Final = f"{OWNERS}anothers_thing_is_as_absent_as_one_that_never_was"
TARGETS: Final = "tests/unit/test_targets.py::test_"
APART: Final = "tenants are apart"
DUPED: Final = (*ASSERTED, "AttributeError")


def believes(channel: type, read: str) -> Plant:
    """A channel that takes whatever comes for a message when its account has no key to verify it with."""
    return edit(channel.read_notification, "return Refused(", f"return {read} or Refused(")  # type: ignore[attr-defined]


SIGNATURES: Final = (
    *(
        Bug(
            f"A message from localhost is believed without a signature, at {name}",
            PHANTOM,
            f"{test}notifications.py::test_no_header_makes_a_forged_message_believed",
            edit(
                channel.read_notification,
                "return notifications.read(",
                f"return {parsed} if 'localhost' in str(headers) else notifications.read(",
            ),
        )
        for name, test, channel, parsed in (
            (
                "WeChat Pay",
                WECHAT,
                wechat_channel.WechatPay,
                "notifications._opened(notifications.Genuine(body, now_ms), opened)",
            ),
            ("Alipay", ALIPAY, alipay_channel.Alipay, "notifications._notice(notifications.fields(body), opened)"),
            (
                "UnionPay",
                UNIONPAY,
                unionpay_channel.UnionPay,
                "notifications._told(notifications.read_form(body), opened)",
            ),
        )
    ),
    *(
        Bug(
            f"Where the key is missing everything is believed, at {name}",
            DOUBT,
            f"{test}::test_an_account_that_cannot_work_believes_nothing",
            believes(channel, "Notice(numbers=(), evidence=())"),
        )
        for name, test, channel in (
            ("WeChat Pay", f"{WECHAT}notifications.py", wechat_channel.WechatPay),
            ("Alipay", f"{ALIPAY}notifications.py", alipay_channel.Alipay),
            ("UnionPay", f"{UNIONPAY}accounts.py", unionpay_channel.UnionPay),
        )
    ),
    *(
        Bug(
            f"Whether a signature fits is not looked at, at {name}",
            PHANTOM,
            f"{test}notifications.py::test_{sentence}",
            edit(rsa.fits, "except InvalidSignature: return False", "except InvalidSignature: return True"),
        )
        for name, test, sentence in (
            ("WeChat Pay", WECHAT, "a_message_that_is_not_believed"),
            ("Alipay", ALIPAY, "a_message_that_is_not_believed"),
            ("UnionPay", UNIONPAY, "not_believed"),
        )
    ),
    Bug(
        "An answer to our own question is believed without a signature, at WeChat Pay",
        PHANTOM,
        f"{WECHAT}trust.py::test_what_is_not_believed_is_silent",
        edit(wechat_answers.read, "if isinstance(genuine, Doubt): return", "if False: return"),
        fails=DUPED,
    ),
    Bug(
        "An answer to our own question is believed without a signature, at Alipay",
        PHANTOM,
        f"{ALIPAY}trust.py::test_what_is_not_believed_is_silent",
        edit(
            alipay_answers.believe,
            "return verify(texts, told.sign, asked.opened.verifiers, serial=told.serial, now_ms=asked.now_ms)",
            "return Genuine(texts[0])",
        ),
    ),
    Bug(
        "The signature that WeChat Pay makes wrong on purpose is taken for an alarm",
        DOUBT,
        f"{WECHAT}notifications.py::test_a_probe_is_no_alarm",
        edit(wechat_keys.verify, "if signature.startswith(PROBE):", "if False:"),
    ),
    Bug(
        "An old message is believed as if it were said now",
        PHANTOM,
        f"{WECHAT}trust.py::test_what_was_signed_five_minutes_ago_is_silent",
        edit(wechat_keys.verify, "if abs(now_ms - said_ms) >= WINDOW_MS:", "if False:"),
    ),
    Bug(
        "A certificate is believed after its end",
        PHANTOM,
        f"{WECHAT}trust.py::test_a_certificate_ends",
        edit(wechat_keys.verify, "if verifier.until_ms and now_ms > verifier.until_ms:", "if False:"),
    ),
    Bug(
        "The message says by which algorithm it is to be verified",
        PHANTOM,
        f"{ALIPAY}notifications.py::test_a_message_that_is_not_believed",
        edit(alipay.read, "if sign_type != SIGN_TYPE:", "if not sign_type:"),
    ),
    Bug(
        "The message says by which method it is to be verified, at UnionPay",
        PHANTOM,
        f"{UNIONPAY}trust.py::test_how_it_is_signed_is_fixed",
        edit(
            unionpay_keys.verify,
            'if fields.get("version") != VERSION or fields.get("signMethod") != SIGN_METHOD:',
            "if False:",
        ),
    ),
    Bug(
        "Any merchant whom the same authority certifies signs in UnionPay's name",
        PHANTOM,
        f"{UNIONPAY}trust.py::test_another_merchants_certificate_with_its_own_key",
        edit(unionpay_chain.Chain._look, "if company not in self._companies:", "if False:"),
    ),
    Bug(
        "A certificate that anybody issued is believed",
        PHANTOM,
        f"{UNIONPAY}trust.py::test_whose_certificate_is_not_believed",
        edit(unionpay_chain._under, "if _issued(certificate, issuer):", "if True:"),
    ),
    Bug(
        "New certificates of the vendor take the place of the old ones, which may still come",
        LOST,
        f"{WECHAT}requests.py::test_old_certificates_stay_and_new_ones_come_after",
        edit(wechat_certificates.read, "SETTING: held + new", "SETTING: new"),
    ),
    Bug(
        "A field that stands twice is read as its last",
        PHANTOM,
        "tests/unit/test_domain_once.py::test_a_member_that_stands_twice_is_refused",
        edit(once._once, "if len(found) != len(pairs):", "if False:"),
    ),
    Bug(
        "A field of a form that stands twice is read as its last",
        PHANTOM,
        f"{UNIONPAY}notifications.py::test_not_believed",
        edit(forms.decoded, "if len(fields) != len(pairs):", "if False:"),
    ),
    Bug(
        "A field that swallows its neighbour is signed like the two of them, at Alipay",
        PHANTOM,
        f"{ALIPAY}notifications.py::test_a_field_that_swallows_others_is_not_believed",
        edit(alipay.fields, 'if b"&" in value and', "if False and"),
    ),
    Bug(
        "A field that swallows its neighbour is signed like the two of them, at UnionPay",
        PHANTOM,
        f"{UNIONPAY}notifications.py::test_a_field_that_swallows_its_neighbour_is_refused",
        edit(unionpay_wire.read_form, "and not _VALUE.fullmatch(value)", "and False"),
    ),
    Bug(
        "Where an app's endpoint has no secret its webhooks are sent unsigned",
        DOUBT,
        "tests/unit/test_signing.py::test_no_secret_at_all_signs_nothing",
        edit(signing._keyed, "if not secrets:", "if False:"),
    ),
    Bug(
        "A webhook of days ago is believed again",
        PHANTOM,
        "tests/client/test_webhooks.py::test_a_wrong_clock_is_named",
        edit(webhooks._check_time, "if abs(ahead_s) <= tolerance_s:", "if True:"),
    ),
)

CONTENTS: Final = (
    Bug(
        "Money that was paid to another merchant is taken for ours, at WeChat Pay",
        PHANTOM,
        f"{WECHAT}notifications.py::test_a_payment_of_another_merchant_is_wrong",
        edit(wechat_facts.of_trade, "wrong=wrong,", 'wrong="",'),
    ),
    Bug(
        "Money that was paid to another seller is taken for ours, at Alipay",
        PHANTOM,
        f"{ALIPAY}notifications.py::test_a_payment_of_another_merchant_is_wrong",
        edit(alipay._notice, 'seller_id=(_text(form, "seller_id"), opened.seller_id),', ""),
    ),
    Bug(
        "Money that was paid to another app is taken for ours, at Alipay",
        PHANTOM,
        f"{ALIPAY}notifications.py::test_a_payment_of_another_merchant_is_wrong",
        edit(alipay._notice, 'app_id=(_text(form, "app_id"), opened.app_id),', ""),
    ),
    Bug(
        "Money that was paid to another merchant is taken for ours, at UnionPay",
        PHANTOM,
        f"{UNIONPAY}notifications.py::test_a_payment_of_another_merchant_is_wrong",
        edit(unionpay._told, 'merId=(fields.get("merId", ""), opened.mer_id)', ""),
    ),
    Bug(
        "A word that a channel adds tomorrow fails a payment today",
        PHANTOM,
        f"{WECHAT}answers.py::test_the_state_of_an_order",
        edit(wechat_facts.of_trade, "TRADE_STATES.get(state, Fact.SILENT)", "TRADE_STATES.get(state, Fact.OVER)"),
    ),
    Bug(
        "A payment that was paid and refunded in full counts as never paid, at Alipay",
        LOST,
        f"{ALIPAY}answers.py::test_the_states_of_a_payment",
        edit(alipay_facts.of_trade, "if state == CLOSED and", "if False and"),
    ),
    Bug(
        "A payment of which some went back counts as not paid, at WeChat Pay",
        LOST,
        f"{WECHAT}answers.py::test_the_state_of_an_order",
        entry(wechat_facts.TRADE_STATES, "REFUND", Fact.PENDING),
    ),
    Bug(
        "A refund for which a card is gone counts as failed, at WeChat Pay",
        "nothing is refunded twice",
        f"{WECHAT}answers.py::test_the_state_of_a_refund",
        entry(wechat_facts.REFUND_STATES, "ABNORMAL", Fact.OVER),
    ),
)

OWNERS_AND_ADDRESSES: Final = (
    *(
        Bug(f"Another app's {what} can be used by its name", APART, f"{ANOTHERS}[GET /v1/{what}s/{{{what}}}]", plant)
        for what, plant in (
            ("payment", edit(named.payment_of, "if payment.app != app.id:", "if False:")),
            ("refund", edit(named.refund, "if stored is None or stored.app != ask.app.id:", "if stored is None:")),
            ("case", edit(named.case, "or row.app != ask.app.id", "")),
            ("endpoint", edit(endpoints._named, "or endpoint.app != ask.app.id", "")),
        )
    ),
    Bug(
        "A route is open to whoever asks",
        APART,
        f"{OWNERS}without_a_key_every_route_is_shut",
        edit(
            auth.Doorkeeper.admit,
            'if given is None: raise Unauthorized("the request has no Authorization header")',
            "if given is None: return NOBODY",
        ),
        fails=(*ASSERTED, "KeyError"),
    ),
    Bug(
        "A key that was taken away goes on working",
        APART,
        "tests/wire/test_api_refusals.py::test_a_key_that_was_taken_away_stops_at_once_and_the_last_use_is_noted",
        edit(sqlite_directory.Directory.save_app, "if owner == app.id and hash_ not in kept:", "if False:"),
    ),
    Bug(
        "A key that was taken away comes back with another change of its app",
        APART,
        "tests/spec/test_set_up_at_once.py::TestAnApp::test_a_revoked_key_does_not_come_back_with_another_change[sqlite]",
        edit(
            sqlite_directory.Directory.save_app,
            "if rows.app_compared(stands) != rows.app_compared(before):",
            "if False:",
        ),
    ),
    Bug(
        "A stranger is told by different answers what is wrong with his message",
        APART,
        "tests/wire/test_api_doors.py::test_what_is_not_believed_has_one_answer_whoever_sends_it",
        edit(
            intake.notification,
            "if notice is None: return REFUSED",
            "if notice is None: return Acknowledgement(status=401, body=b'signature')",
        ),
    ),
    Bug(
        "An account becomes another merchant's under the same name",
        PHANTOM,
        "tests/wire/test_cli_commands.py::test_the_identity_of_an_account_never_changes",
        edit(
            admin.add_account,
            "if known is not None and (known.channel, dict(known.identity)) != (channel, dict(identity)):",
            "if False:",
        ),
    ),
    Bug(
        "A sealed secret opens in another row than its own",
        APART,
        "tests/unit/test_vault.py::test_a_secret_that_was_moved_to_another_row_does_not_open",
        edit(vault._about, 'return f"{table}|{row}|secrets|{_VERSION}".encode()', "return b''"),
    ),
    Bug(
        "An error of ours shows what is inside",
        APART,
        "tests/wire/test_api_refusals.py::test_a_fault_of_ours_says_nothing_of_the_inside",
        edit(problem.problem, "if family.status == 500 and not isinstance(error, Internal):", "if False:"),
    ),
    Bug(
        "Python's library decides which addresses are public",
        APART,
        f"{TARGETS}any_other_address_is_refused",
        edit(
            targets._why_not,
            "address = unwrap(ip_address(text))",
            "address = ip_address(text); return None if address.is_global else 'private'",
        ),
    ),
    Bug(
        "Of several addresses of a name only the first is judged",
        APART,
        f"{TARGETS}one_bad_address_among_good_ones_spoils_all",
        edit(targets.check_addresses, "for text in addresses:", "for text in list(addresses)[:1]:"),
    ),
    Bug(
        "A name is judged when the endpoint is saved, and not when it is connected to",
        APART,
        "tests/wire/test_webhook.py::test_a_name_that_turns_private_is_not_visited",
        edit(targets.GuardedResolver.resolve, "check_addresses(found, self._allow, inside=self._inside)", "pass"),
    ),
    Bug(
        "An app's allow-list opens the metadata service of a cloud",
        APART,
        f"{TARGETS}no_allow_list_opens_metadata_services",
        put("oncepay.publishers.targets._NEVER", ()),
    ),
    Bug(
        "A redirect of an app's endpoint counts as delivered",
        "the app hears it",
        "tests/wire/test_webhook.py::test_a_redirect_is_a_failure_and_nobody_goes_there",
        edit(webhook._outcome, "if 200 <= status < 300:", "if 200 <= status < 400:"),
    ),
    Bug(
        "A connection without a verified certificate can be asked for",
        DOUBT,
        "tests/wire/test_transport.py::test_a_context_that_does_not_verify_is_refused",
        edit(client.verified, "if tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname:", "if False:"),
    ),
)

BUGS: Final = (*SIGNATURES, *CONTENTS, *OWNERS_AND_ADDRESSES)
