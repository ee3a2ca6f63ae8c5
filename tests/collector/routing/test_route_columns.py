"""Routes as columns say the same as the answers about each pair."""

from __future__ import annotations

from itertools import permutations
from typing import get_args

import numpy as np
import pytest

from collector.api.mesh_routes import mesh_columns, mesh_rows
from collector.linkstate.snapshot import Snapshot
from collector.routing.costs import COSTINGS, forecast_goodputs
from collector.routing.route_columns import REASONS, RouteColumns, rounded, site_routes
from collector.routing.route_question import RouteQuestion
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.models.routes import MeshRoutes, NoRoute, Objective, RouteAnswer, SiteRoutes
from tests.collector.routing.deciding import decide_all
from tests.collector.routing.meshes import NAN, SITES, mesh, snapshot


def decided(**changes: np.ndarray) -> Router:
    """Four sites: gz → gs through cc; bj is lost; the goodput of cc → gz is unknown."""
    router, first = Router(RoutingSettings(), mesh()), snapshot(at=100.0)
    decide_all(router, first, goodputs=forecast_goodputs(first))
    now = snapshot(at=160.0, without=tuple(f"{a}-{b}" for a, b in permutations(SITES, 2) if "bj" in {a, b}))
    goodput = now.goodput_p50_bps.copy()
    goodput[SITES.index("cc"), SITES.index("gz")] = NAN
    now = Snapshot.of(SITES, at=160.0, rtt_p50_s=now.rtt_p50_s, goodput_p50_bps=goodput, **changes)
    decide_all(router, now, goodputs=forecast_goodputs(now))
    return router


def columns(router: Router, objective: Objective) -> RouteColumns:
    view = router.view(objective)
    assert view is not None
    return view.columns(view.every_pair())


@pytest.mark.parametrize("objective", list(COSTINGS))
def test_every_column_is_as_in_the_pairs_own_answer(objective: Objective) -> None:
    router = decided(rtt_p90_s=snapshot().rtt_p50_s * 1.1)
    found = columns(router, objective)
    hops, gains = found.next_hop(), found.gain_ratio()
    for place, (src, dst) in enumerate(permutations(SITES, 2)):
        answer = router.route(RouteQuestion(src=src, dst=dst, objective=objective))
        assert (SITES[found.decisions.src[place]], SITES[found.decisions.dst[place]]) == (src, dst)
        if isinstance(answer, NoRoute):
            assert (hops[place], REASONS[found.reason[place]]) == (-1, answer.reason)
            assert np.isnan([found.decisions.p50[place], found.since[place]]).all()
            continue
        assert SITES[hops[place]] == answer.path.sites[1]
        figures = [answer.path.rtt_p50_s, answer.path.rtt_p90_s]
        if objective == "goodput":
            figures = [answer.path.goodput_p50_bps, answer.path.goodput_p90_bps]
        ours = [found.decisions.p50[place], found.decisions.p90[place]]
        assert ours == pytest.approx([NAN if one is None else one for one in figures], nan_ok=True)
        assert answer.since is not None
        assert found.since[place] == answer.since.timestamp()
        assert REASONS[found.reason[place]] == answer.switch_reason
        gain = NAN if answer.gain_ratio is None else answer.gain_ratio
        if answer.path.goodput_p50_bps is not None or objective == "latency":
            assert gains[place] == pytest.approx(gain, nan_ok=True, rel=1e-5)


def test_a_routes_reason_is_one_of_the_models() -> None:
    assert set(REASONS) == {*get_args(RouteAnswer.model_fields["switch_reason"].annotation)[0].__args__} | set(
        get_args(NoRoute.model_fields["reason"].annotation)
    )


def test_a_sites_document_has_its_model_and_a_column_a_destination() -> None:
    router = decided()
    views = {objective: view for objective in COSTINGS if (view := router.view(objective)) is not None}
    found = SiteRoutes.model_validate_json(site_routes(SITES.index("gz"), views))
    assert (found.site, found.dst, found.at.timestamp()) == ("gz", ("bj", "cc", "gs"), 160.0)
    assert found.latency.next_hop == (None, "cc", "cc")
    assert found.latency.reason == ("down", "first", "first")
    assert found.latency.active_s == (None, 60.0, 60.0)
    assert found.latency.rtt_p50_s == (None, 0.01, 0.0265)
    assert found.latency.direct_rtt_p50_s == (None, 0.01, 0.061)
    assert found.goodput.goodput_p50_bps == (None, 6e9, 3e9)


def test_columns_of_another_length_are_no_document() -> None:
    router = decided()
    views = {objective: view for objective in COSTINGS if (view := router.view(objective)) is not None}
    document = site_routes(0, views).replace(b'"dst":["cc",', b'"dst":[')
    with pytest.raises(ValueError, match="next_hop: 3 values for 2 destinations"):
        SiteRoutes.model_validate_json(document)


def test_documents_of_many_pieces_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    router = decided()
    view = router.view("latency")
    assert view is not None
    whole = [b"".join(document(view)) for document in (mesh_rows, mesh_columns)]
    monkeypatch.setattr("collector.api.mesh_routes.PAIRS_PER_PIECE", 2)
    monkeypatch.setattr("collector.api.row_texts._ROWS", 2)
    assert [b"".join(document(view)) for document in (mesh_rows, mesh_columns)] == whole
    found = MeshRoutes.model_validate_json(whole[0])
    assert (len(found.routes), len(found.no_routes)) == (6, 6)


def test_figures_have_six_digits() -> None:
    values = np.array([0.123456789, 123456789.0, -0.000123456789, 0.0, NAN])
    np.testing.assert_array_equal(rounded(values), [0.123457, 123457000.0, -0.000123457, 0.0, NAN])
