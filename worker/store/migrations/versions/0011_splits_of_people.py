"""Who saved a split: a bundled set is nobody's, and splits of it are saved by everybody."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    owner = sa.Column("owner", sa.String(length=255), nullable=False, server_default="")
    op.add_column("splits", owner)
