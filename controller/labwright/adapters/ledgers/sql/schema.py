"""The ledger's tables. Columns are named as the fields of domain/job.py, in their order (rows.py relies on it)."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, MetaData, Table

from labwright.adapters.ledgers.sql.types import Instant, Json, Words

metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})

jobs = Table(
    "jobs",
    metadata,
    Column("id", Words, primary_key=True),
    Column("task", Words, nullable=False, index=True),
    Column("work", Words, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("parameters", Json, nullable=False),
    Column("spec", Words, nullable=False),
    Column("bundle", Words, nullable=False),
    Column("provider", Words, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("commit", Words, nullable=False, quote=True),
    Column("branch", Words, nullable=False),
    Column("author", Words, nullable=False),
    Column("created", Instant, nullable=False),
    Column("state", Words, nullable=False, index=True),
    Column("reason", Words, nullable=False),
    Column("updated", Instant),
    Column("needs", Json, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("not_before", Instant),
    Column("stop_asked", Words, nullable=False),
    Column("plan", Words, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("version", Integer, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job", Words, ForeignKey("jobs.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("token", Words, nullable=False),
    Column("provider", Words, nullable=False),
    Column("intended", Instant, nullable=False),
    Column("handle", Words),
    Column("placement", Json, nullable=False),
    Column("submitted", Instant),
    Column("started", Instant),
    Column("running", Instant),
    Column("ended", Instant),
    Column("outcome", Words),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("node", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("collected", Boolean, nullable=False),
    Column("published", Boolean, nullable=False),
)
# Both partial indexes are partial on PostgreSQL too (migrations/); saying so here would load its dialect on every start.
UNPUBLISHED = attempts.c.published.is_(False) & attempts.c.ended.is_not(None)
Index("ix_attempts_unpublished", attempts.c.job, sqlite_where=UNPUBLISHED)

transitions = Table(
    "transitions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", Words, ForeignKey("jobs.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("before", Words),
    Column("after", Words, nullable=False),
    Column("reason", Words, nullable=False),
)

wants = Table(
    "wants",
    metadata,
    Column("branch", Words, primary_key=True),
    Column("task", Words, primary_key=True),
    Column("place", Integer, primary_key=True),  # in the list that set_wants was given
    Column("work", Words, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("how", Words, nullable=False),
    Column("job", Words),
    Column("commit", Words, nullable=False, quote=True),
    Column("detail", Words, nullable=False),
)

contents = Table("contents", metadata, Column("digest", Words, primary_key=True), Column("text", Words, nullable=False))
parsed = Table("parsed", metadata, Column("blob", Words, primary_key=True), Column("text", Words, nullable=False))
cursors = Table("cursors", metadata, Column("name", Words, primary_key=True), Column("value", Words, nullable=False))

acts = Table(
    "acts",
    metadata,
    Column("id", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("by", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("arguments", Json, nullable=False),
    Column("done", Instant),
    Column("answer", Words, nullable=False),
)
PENDING = acts.c.done.is_(None)
Index("ix_acts_pending", acts.c.at, sqlite_where=PENDING)

plans = Table(
    "plans",
    metadata,
    Column("digest", Words, primary_key=True),
    Column("commit", Words, primary_key=True, quote=True),
    Column("branch", Words, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("launched", Integer, nullable=False),
    Column("reused", Integer, nullable=False),
    Column("superseded", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("confirmed", Words, nullable=False),
    Column("detail", Json),
)
