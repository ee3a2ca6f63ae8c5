"""How noisy a mesh's RTTs are: by how many links the newest measurement itself is what forecasts best.

Hysteresis and caution guard against noise: what looks better for a moment, and is not. Where smoothing forecasts
better than the newest measurement, there is noise. Where it does not, RTTs stay as they are until they move for good;
what looks better is better then, and waiting costs. One link's forecast is chosen from few rows, so that luck has a
part in it: all links together say which kind of mesh it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from collector.linkstate.snapshot import Snapshot

# Below the first share of links that follow their newest measurement all is taken for noise, above the second nothing.
# Between hosts of the Internet 0.3 to 0.4 follow it; where values are held from one measurement to the next, 0.98 do.
NOISY: Final = 0.5
FOLLOWED: Final = 0.8
# As many links that do not are assumed: the few links of a small mesh tell little.
_ASSUMED: Final = 10
# One or two measurements choose no forecast.
_MIN_SAMPLES: Final = 3


def noise(snapshot: Snapshot) -> float:
    """The share, 0 to 1, that noise has in what RTTs do."""
    told = snapshot.usable & (snapshot.rtt_samples >= _MIN_SAMPLES)
    follow = np.count_nonzero(told & snapshot.rtt_follows) / (np.count_nonzero(told) + _ASSUMED)
    return min(max((FOLLOWED - follow) / (FOLLOWED - NOISY), 0.0), 1.0)
