"""The results branch, written to and read from git."""

from labwright.adapters.results.branch import GitResultsBranch
from labwright.adapters.results.clone import open_results

__all__ = ["GitResultsBranch", "open_results"]
