"""The collector's HTTP API from Python: `Client("http://127.0.0.1:8484").route("gz", "gs")`, or `AsyncClient`."""

from linkweather.client.asynchronous import AsyncClient
from linkweather.client.requests import DEFAULT_API
from linkweather.client.responses import as_json
from linkweather.client.synchronous import Client

__all__ = ["DEFAULT_API", "AsyncClient", "Client", "as_json"]
