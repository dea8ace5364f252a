"""Where messages may go by a broker, and that what stands before the @ is never quoted."""

from __future__ import annotations

import pytest

from oncepay.ports import Outcome
from oncepay.publishers import roads
from oncepay.publishers.places import Place, place_of, split_login
from oncepay.publishers.roads import Kind, read_target
from oncepay.publishers.targets import TargetRefused

INSIDE = ("10.0.0.0/8", "127.0.0.0/8")
SECRET = "battery-staple"


def place(url: str, networks: tuple[str, ...] = INSIDE) -> Place:
    return place_of(*split_login(url), networks)


@pytest.mark.parametrize(
    ("url", "kind", "tls", "hosts", "room", "name"),
    [
        ("amqp://10.0.0.1/?queue=paid", "amqp", False, (("10.0.0.1", 5672),), "/", "paid"),
        ("amqp://10.0.0.1?queue=paid", "amqp", False, (("10.0.0.1", 5672),), "/", "paid"),
        ("amqps://mq.example.com/shop?queue=a%20b", "amqp", True, (("mq.example.com", 5671),), "shop", "a b"),
        ("amqps://mq.example.com:443/%2Fa%2Fb?queue=q", "amqp", True, (("mq.example.com", 443),), "/a/b", "q"),
        ("AMQP://MQ.lan:1000/?queue=Paid", "amqp", False, (("mq.lan", 1000),), "/", "Paid"),
        ("kafka://10.0.0.1,10.0.0.2:9/events", "kafka", False, (("10.0.0.1", 9092), ("10.0.0.2", 9)), "", "events"),
        ("kafkas://k.example.com/a.b-c_D", "kafka", True, (("k.example.com", 9093),), "", "a.b-c_D"),
        ("redis://[::ffff:10.0.0.1]/?stream=s", "redis", False, (("::ffff:10.0.0.1", 6379),), "0", "s"),
        ("redis://10.0.0.1:7000/15?stream=s", "redis", False, (("10.0.0.1", 7000),), "15", "s"),
        ("rediss://r.example.com:16379?stream=shop:events", "redis", True, (("r.example.com", 16379),), "0", "shop:events"),
    ],
)  # fmt: skip
def test_what_a_url_says(
    url: str, kind: str, tls: bool, hosts: tuple[tuple[str, int], ...], room: str, *, name: str
) -> None:
    found = place(url)
    assert (found.kind, found.tls, found.hosts, found.room, found.name) == (kind, tls, hosts, room, name)
    assert found.inside is not tls


def test_options() -> None:
    assert place("redis://10.0.0.1/0?stream=s&replicas=2").replicas == 2
    assert place("kafka://10.0.0.1/t?sasl=scram-sha-512").sasl == "SCRAM-SHA-512"


def test_a_login_is_split_off_and_read() -> None:
    shown, login = split_login(f"AMQPS://shop:{SECRET}%40%2F@MQ.example.com/?queue=Q")
    assert (shown, login) == ("amqps://mq.example.com/?queue=Q", f"shop:{SECRET}%40%2F")
    found = place_of(shown, login, ())
    assert (found.user, found.password) == ("shop", f"{SECRET}@/")
    assert SECRET not in found.url
    alone = place(f"redis://:{SECRET}@10.0.0.1/0?stream=s")
    assert (alone.user, alone.password) == ("", SECRET)


@pytest.mark.parametrize("networks", [(), INSIDE])
@pytest.mark.parametrize(
    "url",
    [
        # which place
        "amqp://u:{}@10.0.0.1/", "amqp://u:{}@10.0.0.1/?queue=", "amqp://u:{}@10.0.0.1/?queue=amq.gen-1",
        "amqp://u:{}@10.0.0.1/?queue=a&queue=b", "amqp://u:{}@10.0.0.1/?queue=a&x=1", "amqp://u:{}@10.0.0.1/?queue",
        "amqp://u:{}@10.0.0.1/?queue=a%0Ab", "amqp://u:{}@10.0.0.1/?queue=" + "a" * 256, "amqp://u:{}@10.0.0.1/a/b?queue=a",
        "kafka://u:{}@10.0.0.1", "kafka://u:{}@10.0.0.1/", "kafka://u:{}@10.0.0.1/a%20b", "kafka://u:{}@10.0.0.1/..",
        "kafka://u:{}@10.0.0.1/t?sasl=gssapi", "kafka://u:{}@10.0.0.1/t?acks=0", "kafka://u:{}@10.0.0.1,,10.0.0.2/t",
        "kafka://u:{}@" + ",".join(["10.0.0.1"] * 9) + "/t",
        "redis://u:{}@10.0.0.1/0", "redis://u:{}@10.0.0.1/zero?stream=s", "redis://u:{}@10.0.0.1/0?stream=s&replicas=x",
        "redis://u:{}@10.0.0.1/0?stream=s&password={}", "redis://u:{}@10.0.0.1/0?stream=s&replicas=10",
        "redis://u:{}@10.0.0.1,10.0.0.2/0?stream=s", "amqp://u:{}@10.0.0.1,10.0.0.2/?queue=q",
        # how it is written
        "amqp://{}@10.0.0.1/?queue=q", "amqp://u:{}/x@10.0.0.1/?queue=q", "amqp://u:{}@@10.0.0.1/?queue=q",
        "amqp://u:{}ü@10.0.0.1/?queue=q", "amqp://u:{} @10.0.0.1/?queue=q", "amqp://u:{}@10.0.0.1/?queue=q#x",
        "amqp://u:{}@10.0.0.1:0/?queue=q", "amqp://u:{}@10.0.0.1:65536/?queue=q", "amqp://u:{}@10.0.0.1:x/?queue=q",
        "amqp://u:{}@/?queue=q", "amqp://u:{}@a_b/?queue=q", "amqp://u:{}@bücher.example/?queue=q", "amqp://u:{}",
        "amqp://u:{}@10.0.0.1/?queue=q\n", "amqp://u:{}%zz@10.0.0.1/?queue=q",
        # where it leads
        "amqp://u:{}@169.254.169.254/?queue=q", "amqps://u:{}@169.254.169.254/?queue=q", "amqps://u:{}@0.0.0.0/?queue=q",
        "redis://u:{}@93.184.216.34/0?stream=s", "rediss://u:{}@192.168.0.1/0?stream=s", "rediss://u:{}@2130706433/0?stream=s",
        "kafkas://u:{}@93.184.216.34,192.168.0.1/t", "kafka://u:{}@10.0.0.1,169.254.169.254/t",
        "rediss://u:{}@0x7f.1/0?stream=s", "rediss://u:{}@[::1]/0?stream=s", "rediss://u:{}@[fe80::1%25eth0]/0?stream=s",
    ],
)  # fmt: skip
def test_any_other_url_is_refused_without_its_password(url: str, networks: tuple[str, ...]) -> None:
    with pytest.raises(TargetRefused) as caught:
        read_target(url.replace("{}", SECRET), networks)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://10.0.0.1/?queue=q", "amqps://10.0.0.1/?queue=q", "redis://redis/0?stream=s", "kafka://kafka/t",
        "redis://mq.example.com/0?stream=s", "rediss://localhost/0?stream=s", "rediss://a.localhost/0?stream=s",
        "rediss://mq.example.com:22/0?stream=s",
    ],
)  # fmt: skip
def test_without_private_networks_a_broker_is_public_and_by_tls(url: str) -> None:
    with pytest.raises(TargetRefused):
        read_target(url, ())


def test_a_road_whose_library_is_not_installed_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind("oncepay.publishers.absent", "Link", "no_such_library_of_ours", "rabbitmq")
    monkeypatch.setattr(roads, "KINDS", {**roads.KINDS, "amqp": kind})
    with pytest.raises(TargetRefused, match=r"pip install 'oncepay\[rabbitmq\]'"):
        read_target("amqps://mq.example.com/?queue=q", ())
    read_target("rediss://mq.example.com/0?stream=s", ())


def test_an_outcome_never_quotes_the_password_whatever_a_library_says() -> None:
    said = Outcome(delivered=False, why=f"no such user u:{SECRET}@host", down=True)
    assert roads._without(SECRET, said) == Outcome(delivered=False, why="no such user u:***@host", down=True)
    assert roads._without("", said) == said


def test_what_is_no_broker_is_a_webhook() -> None:
    assert read_target("https://shop.example/hook", ()) == ("https://shop.example/hook", "")
    for url in ("https://u:p@shop.example/hook", "ftp://shop.example/", "amqpx://shop.example/?queue=q", "amqp:q"):
        with pytest.raises(TargetRefused):
            read_target(url, ())
