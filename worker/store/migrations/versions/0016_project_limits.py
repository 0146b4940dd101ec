"""What projects may take."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "project_limits",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=True),
        sa.Column("running", sa.Integer(), nullable=True),
        sa.Column("device_seconds", sa.Double(), nullable=True),
        sa.Column("storage", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project"),
    )
