import numpy as np

from collector.linkstate.snapshot import Snapshot

NAN = np.nan


def test_snapshot_of_two_matrices_is_exact_fresh_and_usable_where_finite() -> None:
    snapshot = Snapshot.of(["a", "b"], at=5.0, rtt_p50_s=[[0, 0.1], [NAN, 0]], goodput_p50_bps=[[0, NAN], [1e9, 0]])
    assert snapshot.sites == ("a", "b")
    assert snapshot.at == 5.0
    assert snapshot.position == {"a": 0, "b": 1}
    assert snapshot.usable.tolist() == snapshot.fresh.tolist() == [[False, True], [False, False]]
    assert snapshot.goodput_usable.tolist() == snapshot.goodput_fresh.tolist() == [[False, False], [True, False]]
    np.testing.assert_array_equal(snapshot.rtt_p50_s, [[NAN, 0.1], [NAN, NAN]])
    np.testing.assert_array_equal(snapshot.rtt_p90_s, snapshot.rtt_p10_s)
    np.testing.assert_array_equal(snapshot.goodput_p10_bps, [[NAN, NAN], [1e9, NAN]])
    np.testing.assert_array_equal(snapshot.goodput_age_s, [[NAN, NAN], [0.0, NAN]])
    assert snapshot.rtt_samples.tolist() == [[0, 1], [0, 0]]
    assert np.isnan(snapshot.rtt_reverts).all()
    assert np.isnan(snapshot.loss_ratio).all()


def test_snapshot_of_goodput_alone_is_usable_where_goodput_is() -> None:
    snapshot = Snapshot.of(["a", "b"], goodput_p50_bps=[[NAN, 1e9], [NAN, NAN]])
    assert snapshot.usable.tolist() == [[False, True], [False, False]]
    assert np.isnan(snapshot.rtt_p50_s).all()


def test_snapshot_of_takes_any_further_field() -> None:
    snapshot = Snapshot.of(["a", "b"], rtt_p50_s=[[NAN, 0.1], [0.1, NAN]], fresh=np.zeros((2, 2), bool))
    assert snapshot.usable[0, 1]
    assert not snapshot.fresh.any()
