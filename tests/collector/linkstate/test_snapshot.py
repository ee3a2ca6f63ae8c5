import numpy as np

from collector.linkstate.snapshot import Outlook

NAN = np.nan


def test_outlook_of_two_matrices_is_exact_fresh_and_usable_where_finite() -> None:
    outlook = Outlook.of(["a", "b"], at=5.0, rtt_p50_s=[[0, 0.1], [NAN, 0]], goodput_p50_bps=[[0, NAN], [1e9, 0]])
    assert outlook.sites == ("a", "b")
    assert outlook.at == 5.0
    assert outlook.position == {"a": 0, "b": 1}
    assert outlook.usable.tolist() == outlook.fresh.tolist() == [[False, True], [False, False]]
    assert outlook.goodput_usable.tolist() == outlook.goodput_fresh.tolist() == [[False, False], [True, False]]
    np.testing.assert_array_equal(outlook.rtt_p50_s, [[NAN, 0.1], [NAN, NAN]])
    np.testing.assert_array_equal(outlook.rtt_p90_s, outlook.rtt_p10_s)
    np.testing.assert_array_equal(outlook.goodput_p10_bps, [[NAN, NAN], [1e9, NAN]])
    np.testing.assert_array_equal(outlook.goodput_age_s, [[NAN, NAN], [0.0, NAN]])
    assert outlook.rtt_samples.tolist() == [[0, 1], [0, 0]]
    assert not outlook.rtt_follows.any()
    assert np.isnan(outlook.loss_ratio).all()


def test_outlook_of_goodput_alone_is_usable_where_goodput_is() -> None:
    outlook = Outlook.of(["a", "b"], goodput_p50_bps=[[NAN, 1e9], [NAN, NAN]])
    assert outlook.usable.tolist() == [[False, True], [False, False]]
    assert np.isnan(outlook.rtt_p50_s).all()


def test_outlook_of_takes_any_further_field() -> None:
    outlook = Outlook.of(["a", "b"], rtt_p50_s=[[NAN, 0.1], [0.1, NAN]], fresh=np.zeros((2, 2), bool))
    assert outlook.usable[0, 1]
    assert not outlook.fresh.any()
