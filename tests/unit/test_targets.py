"""Where a webhook may go: every trick we know of, one line each."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.publishers.targets import (
    GuardedResolver,
    TargetRefused,
    check_addresses,
    check_target,
    check_url,
    read_networks,
    unwrap,
)

TABLE = (Path(__file__).parents[1] / "vectors" / "addresses.txt").read_text()
NOT_EVEN_ADDRESSES = [
    "", " ", "localhost", "127.1", "0177.0.0.1", "0x7f000001", "2130706433", "8.8.8.8 ", "1.1.1.1/32", "[::1]",
]  # fmt: skip


def addresses(word: str) -> list[str]:
    """The cases of the table that are under a word."""
    lines = [line.removeprefix(f"{word}: ") for line in TABLE.splitlines() if line.startswith(f"{word}: ")]
    return [address for line in lines for address in line.split()]


PUBLIC = addresses("public")
REFUSED = addresses("refused") + NOT_EVEN_ADDRESSES


def test_the_table_is_a_table() -> None:
    assert len(set(PUBLIC) | set(REFUSED)) == len(PUBLIC) + len(REFUSED) >= 200


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached(address: str) -> None:
    check_addresses([address])


@pytest.mark.parametrize("address", REFUSED)
def test_any_other_address_is_refused(address: str) -> None:
    with pytest.raises(TargetRefused):
        check_addresses([address])


def test_one_bad_address_among_good_ones_spoils_all() -> None:
    with pytest.raises(TargetRefused) as caught:
        check_addresses(["1.1.1.1", "2606:4700:4700::1111", "10.0.0.1"])
    assert (caught.value.what, caught.value.why) == ("10.0.0.1", "private")
    with pytest.raises(TargetRefused, match="no address"):
        check_addresses([])


@given(st.ip_addresses(v=4))
def test_however_an_ipv4_address_is_wrapped_the_verdict_is_the_same(address: object) -> None:
    def refused(text: str) -> bool:
        try:
            check_addresses([text])
        except TargetRefused:
            return True
        return False

    plain = refused(str(address))
    assert refused(f"::ffff:{address}") is plain
    assert refused(f"64:ff9b::{address}") is plain
    assert unwrap(ip_address(f"::ffff:{address}")) == address


INSIDE = read_networks(["10.1.0.0/16", "127.0.0.0/8", "fd12::/16"])


def test_an_allowed_network_is_reached_and_nothing_beside_it() -> None:
    check_addresses(["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "fd12::1", "1.1.1.1"], INSIDE)
    for address in ("10.2.0.1", "::1", "fd13::1", "192.168.0.1"):
        with pytest.raises(TargetRefused):
            check_addresses([address], INSIDE)
    with pytest.raises(TargetRefused, match="not in an allowed network"):
        check_addresses(["1.1.1.1"], INSIDE, inside=True)


def test_no_allow_list_opens_metadata_services() -> None:
    wide = read_networks(["100.64.0.0/10", "fc00::/7", "192.0.0.0/24"])
    for address in ("100.100.100.200", "fd00:ec2::254", "192.0.0.192"):
        with pytest.raises(TargetRefused, match="metadata"):
            check_addresses([address], wide)


@pytest.mark.parametrize(
    "text", ["0.0.0.0/0", "::/0", "8.8.8.0/24", "169.254.0.0/16", "10.0.0.0/7", "10.0.0.1/8", "fe80::/10", "", "lan"]
)
def test_an_allow_list_names_private_networks_only(text: str) -> None:
    with pytest.raises(TargetRefused):
        read_networks([text])


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://shop.example", "shop.example", 443),
        ("https://shop.example/", "shop.example", 443),
        ("HTTPS://Shop.Example:8443/Hook?A=%2F&b=[1]", "shop.example", 8443),
        ("https://shop.example?x", "shop.example", 443),
        ("https://xn--fiqs8s.example/%E6%B0%B4", "xn--fiqs8s.example", 443),
        ("https://a-b.c--d.example/a/../b;c=1,2!$'()*+@:~", "a-b.c--d.example", 443),
        ("https://1.1.1.1/hook", "1.1.1.1", 443),
        ("https://[2606:4700:4700::1111]:8443/hook", "2606:4700:4700::1111", 8443),
        ("https://0x7f.example/", "0x7f.example", 443),
        ("https://127.0.0.1.example/", "127.0.0.1.example", 443),
    ],
)
def test_a_plain_url_passes(url: str, host: str, port: int) -> None:
    target = check_url(url)
    assert (target.host, target.port, target.inside) == (host, port, False)


@pytest.mark.parametrize(
    "url",
    [
        "", "https", "https:", "https:/", "https://", "https:///hook", "https:shop.example", "//shop.example/",
        "http://shop.example/", "ftp://shop.example/", "file:///etc/passwd", "gopher://shop.example/",
        "javascript:alert(1)", "unix:///run/docker.sock", "https+unix://x/", "wss://shop.example/",
        "https://user@shop.example/", "https://user:pw@shop.example/", "https://@shop.example/",
        "https://shop.example@10.0.0.1/", "https://1.1.1.1#@10.0.0.1/", "https://shop.example#x",
        "https://shop.example/#", "https://10.0.0.1\\@shop.example/", "https://shop.example\\@10.0.0.1/",
        "https://shop.example/\\..", "https:\\\\shop.example", "https://shop.example:0/", "https://shop.example:/",
        "https://shop.example:65536/", "https://shop.example:99999/", "https://shop.example:443x/",
        "https://shop.example:+443/", "https://shop.example:0443/", "https://shop.example:-1/",
        "https://shop.example:22/", "https://shop.example:80/", "https://shop.example:6379/", "https://shop.example:4433/",
        " https://shop.example", "https://shop.example ", "https:// shop.example", "https://shop .example/",
        "https://shop.example/a b", "https://shop.example/\t", "https://shop.example/\r\nHost: x",
        "https://shop.example/\n", "https://shop.example\n", "https://shop.example/\x00", "https://shop\u3002example/",
        "https://shop.example/é", "https://shop.example/%", "https://shop.example/%zz", "https://shop.example/<>",
        "https://シ.example/", "https://①②⑦.0.0.1/", "https://127。0。0。1/", "https://shop%2eexample/",
        "https://%31%30.0.0.1/", "https://shop_example.example/", "https://-shop.example/", "https://shop-.example/",
        "https://.shop.example/", "https://shop..example/", "https://shop.example./", "https://./", "https://../",
        "https://localhost/", "https://LOCALHOST/", "https://a.localhost/", "https://metadata/", "https://redis:443/",
        "https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://0.0.0.0/",
        "https://0/", "https://1/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://017700000001/",
        "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://0x7f000001/", "https://0x7F.1/", "https://127.0.0.01/",
        "https://127.0.0.1./", "https://2130706433./", "https://0x/", "https://1.1.1.1.1/", "https://1.1.1.256/",
        "https://999.1/", "https://8.8.8/", "https://shop.example.8/", "https://shop.0x1/", "https://00.00.00.00/",
        "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:a9fe:a9fe::]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
        "https://[fec0::1]/", "https://[fd00:ec2::254]/", "https://[]/", "https://[1.1.1.1]/", "https://[::1/",
        "https://::1/", "https://1::1/", "https://[v1.a]/", "https://[2606:4700:4700::1111]x/", "https://[:::1]/",
        "https://" + "a" * 64 + ".example/", "https://" + "a." * 127 + "example/", "https://shop.example/" + "a" * 2048,
    ],
)  # fmt: skip
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused) as caught:
        check_url(url)
    assert caught.value.why


def test_a_target_is_checked_with_its_networks_as_text() -> None:
    check_target("http://10.1.0.5:8080/", ["10.1.0.0/16"])
    for url, networks in (
        ("http://10.1.0.5:8080/", []),
        ("https://1.1.1.1/", ["0.0.0.0/0"]),
        ("https://1.1.1.1/", ["x"]),
    ):
        with pytest.raises(TargetRefused):
            check_target(url, networks)


def test_plain_http_and_any_port_only_inside_an_allowed_network() -> None:
    assert check_url("http://10.1.0.5:8080/hook", INSIDE).inside
    assert check_url("http://shop.lan/hook", INSIDE).inside  # its addresses are judged when it is resolved
    assert check_url("http://app:8080/hook", INSIDE).inside
    assert check_url("https://10.1.0.5:9000/", INSIDE).inside
    assert not check_url("https://10.1.0.5/", INSIDE).inside
    for url in ("http://1.1.1.1/", "https://1.1.1.1:9000/", "http://10.2.0.1/", "http://[fd13::1]/"):
        with pytest.raises(TargetRefused):
            check_url(url, INSIDE)


class Stub:
    """Answers with the next of its lists."""

    def __init__(self, *lists: list[str]) -> None:
        self.lists = list(lists)

    async def resolve(self, host: str, port: int) -> list[str]:
        return self.lists.pop(0)


async def test_a_name_that_changes_its_mind_is_judged_each_time() -> None:
    resolver = GuardedResolver(Stub(["1.1.1.1"], ["10.0.0.1"], ["1.1.1.1", "169.254.169.254"], [], ["1.0.0.1"]).resolve)
    assert await resolver.resolve("shop.example", 443) == ["1.1.1.1"]
    for why in ("10.0.0.1: private", "169.254.169.254: link-local", "no address"):
        with pytest.raises(OSError, match=why) as caught:
            await resolver.resolve("shop.example", 443)
        assert isinstance(caught.value.__cause__, TargetRefused)
    assert await resolver.resolve("shop.example", 443) == ["1.0.0.1"]


async def test_a_name_for_inside_must_stay_inside() -> None:
    resolver = GuardedResolver(Stub(["10.1.0.1"], ["10.1.0.1", "1.1.1.1"]).resolve, INSIDE, inside=True)
    assert await resolver.resolve("app", 8080) == ["10.1.0.1"]
    with pytest.raises(OSError, match="not in an allowed network"):
        await resolver.resolve("app", 8080)
