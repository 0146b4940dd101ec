"""What a search of the runs reads instead of their rows: on SQLite an index that holds all that is
asked, on Postgres one of trigrams, where its extension may be made."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
HELD = ["archived", "created", "id", "search", "kind", "state", "model", "owner", "starred"]


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        op.create_index("runs_searched", "runs", HELD)
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except sa.exc.DBAPIError:
        return  # not installed there, or not allowed: a search reads the rows
    op.create_index(
        "runs_trigrams",
        "runs",
        ["search"],
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
