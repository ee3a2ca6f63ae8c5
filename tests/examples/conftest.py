"""The collector that the examples' tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples.systems import telling_collector


@pytest.fixture(scope="package")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a collector that knows the links and devices of three sites."""
    with telling_collector(tmp_path_factory.mktemp("collector")) as found:
        yield found
