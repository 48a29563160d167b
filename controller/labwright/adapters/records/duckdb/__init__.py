"""Records in one DuckDB file, or in memory."""

from labwright.adapters.records.duckdb.records import DuckDbRecords

__all__ = ["DuckDbRecords"]
