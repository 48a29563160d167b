"""The ledger in SQLite (one machine) or PostgreSQL (several controllers that stand by for each other)."""

from labwright.adapters.ledgers.sql.ledger import SqlLedger as SqlLedger
