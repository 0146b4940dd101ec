"""What finished runs took, over what they had been told."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "paces",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("work", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("device", sa.String(length=255), nullable=False),
        sa.Column("ratio", sa.Double(), nullable=False),
        sa.Column("finished", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "work"),
    )
    op.create_index("paces_by_device", "paces", ["device", "finished"], unique=False)
