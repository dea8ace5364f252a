"""Alipay is held to what every channel is held to in certificate mode too; in key mode it is beside the others."""

from __future__ import annotations

from collections.abc import Mapping

from oncepay.channels.alipay import Alipay
from oncepay.testing import About, Said, Seal, exercise_channel
from tests.channels import alipay_kit as alipay
from tests.channels.conformance_kits import AlipayKit, another


class CertifiedKit(AlipayKit):
    """As Alipay answers an app in certificate mode: beside the signature stands the serial number of its certificate."""

    account = alipay.CERTIFIED
    others = (another(account, app_id="2021000000000002"), another(account, seller_id="2088000000000002"))

    def seals(self, about: About, said: Said, seal: Seal) -> tuple[Mapping[str, str], bytes]:
        if about.call is None or seal == "none":
            return super().seals(about, said, seal)
        key = alipay.ALIPAY_KEY if seal == "genuine" else alipay.APP_KEY
        answer = alipay.answered(about.call, said.content, key=key, serial=alipay.SERIAL)
        return answer.headers, answer.body


def test_certificate_mode_is_a_channel() -> None:
    exercise_channel(Alipay, CertifiedKit())
