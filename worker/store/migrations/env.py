"""Run by Alembic, on the connection and in the transaction that worker.store.migrate opened."""

from alembic import context

from worker.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
