"""What is normal for a target: a running median that costs little and forgets slowly.

Logarithmic buckets (each 10 % wider than the last, 1 ms to about 20 min), all counts faded by
a constant factor per sample, so that about the last two hundred answers decide whatever the
traffic. The median of such a histogram is within 5 % of the true one and needs no log of samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_GROWTH = 1.1
_LOG = math.log(_GROWTH)
_BUCKETS = 148  # 0.001 * 1.1^147 is about 1,200 s
_FADE = 1 / 0.995
_LARGEST = 1e12


@dataclass(slots=True)
class Baseline:
    min_samples: int = 10
    count: int = 0
    _weights: list[float] = field(default_factory=lambda: [0.0] * _BUCKETS)
    _weight: float = 1.0  # of the next sample: growing it fades all others at once

    def observe(self, seconds: float) -> None:
        """Learn one good answer."""
        index = int(math.log(max(seconds, 0.001) / 0.001) / _LOG)
        self._weights[min(max(index, 0), _BUCKETS - 1)] += self._weight
        self.count += 1
        self._weight *= _FADE
        if self._weight > _LARGEST:
            self._weights = [weight / self._weight for weight in self._weights]
            self._weight = 1.0

    @property
    def median(self) -> float | None:
        """Seconds, or None while too little was seen."""
        if self.count < self.min_samples:
            return None
        half = sum(self._weights) / 2
        for index, weight in enumerate(self._weights):
            half -= weight
            if half <= 0:
                return 0.001 * math.exp((index + 0.5) * _LOG)
        return None
