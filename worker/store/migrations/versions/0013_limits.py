"""What people may take, and how large each run's files are; of older runs that is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "limits",
        sa.Column("person", sa.String(length=255), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=True),
        sa.Column("running", sa.Integer(), nullable=True),
        sa.Column("device_seconds", sa.Double(), nullable=True),
        sa.Column("storage", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("person"),
    )
    size = sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("runs", size)
