"""Where a broker is: the forms of a URL that are taken, and those that are not."""

from __future__ import annotations

import pytest

from linkweather.broker import Broker, parse_broker
from linkweather.errors import OperatorError


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://broker.example.net", Broker("mqtt", "broker.example.net", 1883)),
        ("mqtt://[2001:db8::1]:1884/", Broker("mqtt", "2001:db8::1", 1884)),
        ("mqtts://north:p%40ss@host", Broker("mqtts", "host", 8883, "north", "p@ss")),
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
