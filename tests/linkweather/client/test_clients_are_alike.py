"""Both clients have every request as a method."""

from __future__ import annotations

import inspect

import pytest

from linkweather.client import AsyncClient, Client, requests

REQUESTS = {
    name: function
    for name, function in vars(requests).items()
    if inspect.isfunction(function) and str(function.__annotations__.get("return", "")).startswith("Request[")
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_request_is_a_method_with_its_parameters_and_its_documentation(name: str) -> None:
    with Client() as client:
        async with AsyncClient() as other:
            for method in (getattr(client, name), getattr(other, name)):
                assert inspect.signature(method) == inspect.signature(REQUESTS[name])
                assert inspect.getdoc(method) == inspect.getdoc(REQUESTS[name])


def test_there_are_requests_and_both_clients_have_the_same_public_names() -> None:
    assert len(REQUESTS) > 10
    assert {name for name in dir(Client) if name[0] != "_"} == {name for name in dir(AsyncClient) if name[0] != "_"}
