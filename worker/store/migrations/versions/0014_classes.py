"""Classes with guests, who come by a join link and work in the class's project."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
NAME = sa.String(length=255)
KEY = sa.String(length=64)


def upgrade() -> None:
    op.create_table(
        "classes",
        sa.Column("id", KEY, nullable=False),
        sa.Column("title", NAME, nullable=False),
        sa.Column("project", KEY, nullable=False),
        sa.Column("made_by", NAME, nullable=False),
        sa.Column("model", NAME, nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=True),
        sa.Column("running", sa.Integer(), nullable=True),
        sa.Column("device_seconds", sa.Double(), nullable=True),
        sa.Column("storage", sa.BigInteger(), nullable=True),
        sa.Column("link", KEY, nullable=False),
        sa.Column("link_expires", sa.Double(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project"),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "class_guests",
        sa.Column("person", NAME, nullable=False),
        sa.Column("class_id", KEY, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("joined", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        sa.ForeignKeyConstraint(["person"], ["people.name"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["class_id"], ["classes.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_class_guests_class_id", "class_guests", ["class_id"])
