"""What an account holds and nobody would read is refused: it was meant to do something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest

from oncepay.channels import registry
from oncepay.domain.errors import Invalid
from oncepay.ports import Account
from tests.channels import alipay_kit, unionpay_kit, wechat_kit

DOCS: Final = Path(__file__).parents[2] / "docs"
ACCOUNTS: Final = {"alipay": alipay_kit.ACCOUNT, "unionpay": unionpay_kit.ACCOUNT, "wechat": wechat_kit.ACCOUNT}
PAGES: Final = {"alipay": "alipay.md", "unionpay": "unionpay.md", "wechat": "wechat-pay.md"}


@pytest.mark.parametrize("channel", sorted(ACCOUNTS))
@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("identity", "sub_mchid"),  # another payee, who would never see the money
        ("settings", "base_url"),  # not base_urls: the vendor's own address would be called
        ("settings", "Use"),
        ("settings", ""),
        ("secrets", "private_key"),
    ],
)
def test_a_name_that_is_not_read_is_refused(channel: str, where: str, name: str) -> None:
    account: Account = ACCOUNTS[channel]
    registry.channel(channel).check_account(account)
    odd = msgspec.structs.replace(account, **{where: {**getattr(account, where), name: "hush"}})
    with pytest.raises(Invalid, match=re.escape(f"{where}.{name} is not known")) as refused:
        registry.channel(channel).check_account(odd)
    assert refused.value.fields["field"] == f"{where}.{name}"
    assert "hush" not in refused.value.detail


@pytest.mark.parametrize("channel", sorted(ACCOUNTS))
def test_the_names_are_those_of_the_page(channel: str) -> None:
    account = msgspec.structs.replace(ACCOUNTS[channel], settings={"?": ""}, identity={}, secrets={})
    with pytest.raises(Invalid) as refused:
        registry.channel(channel).check_account(account)
    section = (DOCS / PAGES[channel]).read_text(encoding="utf-8").partition("## Account")[2].partition("\n## ")[0]
    rows = [row.split(" | ") for row in section.splitlines() if row.startswith("| ")]
    kind, told = "", set()
    for first, names, *_ in rows:
        kind = first.strip("| ") or kind
        if kind == "settings":
            told |= set(re.findall(r"`(\w+)`", names))
    assert told == set(refused.value.detail.partition("there is ")[2].split(", "))
