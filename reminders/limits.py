"""How often somebody may ask: token buckets in bounded memory. Each process counts for itself."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

#: Callers that are remembered; whoever has been away longest is forgotten, and may ask anew.
_MOST: Final = 20_000


class Buckets:
    """A bucket for each caller: it holds `burst`, and `per_second` flows in."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._rate = per_second / 1000
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, caller: str, now: int, cost: float = 1) -> int:
        """0 when the caller may (it is paid then), else the seconds until then; `now` is epoch milliseconds."""
        left, then = self._left.pop(caller, (self._burst, now))
        left = min(self._burst, left + max(now - then, 0) * self._rate)
        wait = 0 if left >= cost else 1 + int((cost - left) / self._rate / 1000)
        self._left[caller] = (left if wait else left - cost, now)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)
        return wait


def neighbourhood(host: str | None) -> str:
    """What one caller can be told apart by: the IPv4 address, of IPv6 the /64 that every line has to itself."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
