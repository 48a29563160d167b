"""Alembic's environment. Works on the connection (and in the transaction) that migrate.py hands over."""

from alembic import context

from labwright.adapters.ledgers.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
