"""Alembic's entry: runs the migrations inside the transaction of `migrate.prepare`."""

from alembic import context

from asapbench.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
