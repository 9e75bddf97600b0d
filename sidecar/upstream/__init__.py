"""The way out. Read `upstream` (one exchange) first, then `egress` (which places there are)."""

from sidecar.upstream.egress import Pool
from sidecar.upstream.upstream import Upstream

__all__ = ["Pool", "Upstream"]
