from __future__ import annotations

import pytest

from collector.alto import alto_protocol as alto


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("application/*", True),
        ("application/alto-costmap+json", True),
        ("APPLICATION/ALTO-COSTMAP+JSON", True),
        ("application/alto-error+json, application/alto-costmap+json;q=0.5", True),
        ("application/alto-error+json", False),
        ("application/json", False),
        ("text/html, application/xhtml+xml", False),
        ("*/*, application/alto-costmap+json;q=0", False),
        ("application/*;q=0, */*", False),
        ("application/alto-costmap+json; charset=utf-8; q=high", True),
    ],
)
def test_accept_header_allows_the_type_by_its_most_specific_range(header: str | None, *, accepted: bool) -> None:
    assert alto.accepts(header, alto.COST_MAP) is accepted


def test_a_path_vector_is_accepted_by_its_type_without_parameters() -> None:
    assert alto.accepts("multipart/related;type=application/alto-costmap+json", alto.PATH_VECTOR_COST_MAP)
    assert alto.accepts("multipart/related", alto.PATH_VECTOR_COST_MAP)
