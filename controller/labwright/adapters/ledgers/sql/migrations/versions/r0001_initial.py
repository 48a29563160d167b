"""The first schema. Frozen: it uses nothing of schema.py, which moves on."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _some(names: str, kind: Any, *, null: bool = False, key: bool = False) -> list[sa.Column[Any]]:
    return [
        sa.Column(name, kind, nullable=null, primary_key=key, quote=name == "commit" or None) for name in names.split()
    ]


def upgrade() -> None:
    _jobs()
    _attempts_and_transitions()
    _wants_and_texts()
    _acts_and_plans()


def _jobs() -> None:
    op.create_table(
        "jobs",
        *_some("id", WORDS, key=True),
        *_some("task work", WORDS),
        *_some("generation", sa.Integer),
        *_some("parameters", sa.Text),
        *_some("spec bundle provider", WORDS),
        *_some("priority", sa.Integer),
        *_some("commit branch author", WORDS),
        *_some("created", INSTANT),
        *_some("state reason", WORDS),
        *_some("updated", INSTANT, null=True),
        *_some("needs", sa.Text),
        *_some("attempt", sa.Integer),
        *_some("not_before", INSTANT, null=True),
        *_some("stop_asked plan", WORDS),
        *_some("trial version", sa.Integer),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_index("ix_jobs_task", "jobs", ["task"])


def _attempts_and_transitions() -> None:
    op.create_table(
        "attempts",
        sa.Column("job", WORDS, sa.ForeignKey("jobs.id"), primary_key=True),
        *_some("n", sa.Integer, key=True),
        *_some("token provider", WORDS),
        *_some("intended", INSTANT),
        *_some("handle", WORDS, null=True),
        *_some("placement", sa.Text),
        *_some("submitted started running ended", INSTANT, null=True),
        *_some("outcome", WORDS, null=True),
        *_some("exit_code signal", sa.Integer, null=True),
        *_some("node detail", WORDS),
        *_some("collected published", sa.Boolean),
    )
    if_sqlite, if_postgresql = (
        sa.text("published IS 0 AND ended IS NOT NULL"),
        sa.text("published IS false AND ended IS NOT NULL"),
    )
    op.create_index(
        "ix_attempts_unpublished", "attempts", ["job"], sqlite_where=if_sqlite, postgresql_where=if_postgresql
    )
    op.create_table(
        "transitions",
        *_some("id", sa.Integer, key=True),
        sa.Column("job", WORDS, sa.ForeignKey("jobs.id"), nullable=False),
        *_some("at", INSTANT),
        *_some("before", WORDS, null=True),
        *_some("after reason", WORDS),
    )
    op.create_index("ix_transitions_job", "transitions", ["job"])


def _wants_and_texts() -> None:
    op.create_table(
        "wants",
        *_some("branch task", WORDS, key=True),
        *_some("place", sa.Integer, key=True),
        *_some("work", WORDS),
        *_some("generation", sa.Integer),
        *_some("how", WORDS),
        *_some("job", WORDS, null=True),
        *_some("commit detail", WORDS),
    )
    op.create_table("contents", *_some("digest", WORDS, key=True), *_some("text", WORDS))
    op.create_table("parsed", *_some("blob", WORDS, key=True), *_some("text", WORDS))
    op.create_table("cursors", *_some("name", WORDS, key=True), *_some("value", WORDS))


def _acts_and_plans() -> None:
    op.create_table(
        "acts",
        *_some("id", WORDS, key=True),
        *_some("kind target by", WORDS),
        *_some("at", INSTANT),
        *_some("arguments", sa.Text),
        *_some("done", INSTANT, null=True),
        *_some("answer", WORDS),
    )
    pending = sa.text("done IS NULL")
    op.create_index("ix_acts_pending", "acts", ["at"], sqlite_where=pending, postgresql_where=pending)
    op.create_table(
        "plans",
        *_some("digest commit branch", WORDS, key=True),
        *_some("at", INSTANT),
        *_some("launched reused superseded refused", sa.Integer),
        *_some("held", sa.Boolean),
        *_some("confirmed", WORDS),
        *_some("detail", sa.Text, null=True),
    )
    op.create_index("ix_plans_at", "plans", ["at"])
