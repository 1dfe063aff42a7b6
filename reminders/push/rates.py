"""How often something may be asked: token buckets, a bounded number of them. Pure but for what it remembers."""

from collections import OrderedDict
from typing import Final

MOST_KEYS: Final = 10_000


class Rate:
    """`burst` at once, then one each `pause_ms`, for every key by itself."""

    def __init__(self, burst: int, pause_ms: int) -> None:
        self._burst = burst
        self._pause = pause_ms
        self._free_at: OrderedDict[str, int] = OrderedDict()  # when the bucket is full again

    def wait(self, key: str, now: int) -> int:
        """0 when it may be done `now` (epoch ms), which counts, else how many milliseconds to wait."""
        full_at = max(self._free_at.pop(key, now), now)
        over = full_at + self._pause - now - self._burst * self._pause
        self._free_at[key] = full_at if over > 0 else full_at + self._pause
        if len(self._free_at) > MOST_KEYS:
            self._free_at.popitem(last=False)
        return max(over, 0)
