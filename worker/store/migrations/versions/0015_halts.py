"""Workers that are told to take no new run, and runs that are moved to one worker."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "halts",
        sa.Column("worker", sa.String(length=255), nullable=False),
        sa.Column("what", sa.String(length=255), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("worker"),
    )
    moved = sa.Column("moved_to", sa.String(length=255), nullable=False, server_default="")
    op.add_column("runs", moved)
