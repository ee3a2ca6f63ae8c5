"""The collector's HTTP API from Python: `Client("http://127.0.0.1:8484").route("gz", "gs")`, or `AsyncClient`."""

from linkweather.client.answering import CollectorAway, NoPath, NotFound, as_json
from linkweather.client.asynchronous import AsyncClient
from linkweather.client.questions import DEFAULT_API
from linkweather.client.synchronous import Client

__all__ = ["DEFAULT_API", "AsyncClient", "Client", "CollectorAway", "NoPath", "NotFound", "as_json"]
