"""The collector's HTTP API from Python: `Client("http://127.0.0.1:8484").route("gz", "gs")`, or `AsyncClient`."""

from linkweather.api_place import DEFAULT_API
from linkweather.client.clients import AsyncClient, Client
from linkweather.client.responses import as_json

__all__ = ["DEFAULT_API", "AsyncClient", "Client", "as_json"]
