"""Where a broker is: the forms of a URL that are taken, and those that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linkweather import settings
from linkweather.broker import Broker, BrokerSettings, parse_broker
from linkweather.errors import OperatorError
from linkweather.mesh import Settings


class _Place(Settings):
    broker: BrokerSettings = BrokerSettings()


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://broker.example.net", Broker("mqtt", "broker.example.net", 1883)),
        ("mqtt://[2001:db8::1]:1884/", Broker("mqtt", "2001:db8::1", 1884)),
        ("mqtts://no%40rth@host", Broker("mqtts", "host", 8883, "no@rth")),
        ("unix:///run/my%20broker.sock", Broker("unix", "/run/my broker.sock", 0)),
    ],
)
def test_a_url_says_where_the_broker_is(url: str, broker: Broker) -> None:
    assert parse_broker(url) == broker


@pytest.mark.parametrize("url", ["mqtt://host:70000", "mqtt://", "http://host", "mqtt://host/path", "unix://host/path"])
def test_another_form_is_refused_with_those_that_are_taken(url: str) -> None:
    with pytest.raises(OperatorError) as caught:
        parse_broker(url)
    assert str(caught.value) == (f"broker = {url!r}: must be mqtt://host[:port], mqtts://host[:port] or unix:///path")


@pytest.mark.parametrize("read", [parse_broker, lambda url: settings.validate({"broker": url}, _Place, "x.toml")])
@pytest.mark.parametrize("url", ["mqtt://me:secret@host", "mqtts://:sec/ret@host", "http://me:secret@host"])
def test_a_password_in_a_url_is_refused_and_not_shown(read: Callable[[str], object], url: str) -> None:
    with pytest.raises(OperatorError) as caught:
        read(url)
    assert "sec" not in str(caught.value)
    assert "***@host" in str(caught.value)


def test_a_table_says_where_the_broker_is_and_who_we_are() -> None:
    text = (
        'url = "mqtts://host"\nusername = "north"\npassword_file = "p"\nca_file = "a"\ncert_file = "c"\nkey_file = "k"'
    )
    there = settings.parse(text, BrokerSettings, "x").below(Path("/etc"))
    files = [Path("/etc", name) for name in "ackp"]
    assert there.address == Broker("mqtts", "host", 8883, "north", None, *files)
    assert BrokerSettings(url="mqtt://north@host").address.username == "north"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('url = "host"', "url = 'host': must be mqtt://host[:port], mqtts://host[:port] or unix:///path"),
        ('cert_file = "c"', "cert_file and key_file: either both or none"),
        ('ca_file = "a"', "ca_file and cert_file: are for TLS, with url = mqtts://host[:port]"),
    ],
)
def test_a_table_that_cannot_be_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(OperatorError) as caught:
        settings.parse(text, BrokerSettings, "x")
    assert str(caught.value) == f"x: {sentence}"
