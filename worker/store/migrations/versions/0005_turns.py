"""Whose turn it is: the session that submitted a run, and when a worker was handed it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    session = sa.Column("session", sa.String(length=255), nullable=False, server_default="")
    op.add_column("runs", session)
    op.add_column("runs", sa.Column("taken", sa.Double(), nullable=True))
    op.create_index("runs_by_turn", "runs", ["session", "kind", "taken"], unique=False)
