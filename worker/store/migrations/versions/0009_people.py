"""People of a shared server: accounts, sessions, invitations, tokens, and what they changed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
NAME = sa.String(length=255)
HASH = sa.String(length=64)


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("name", NAME, nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("role", NAME, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "sign_ins",
        sa.Column("id", HASH, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("address", NAME, nullable=False),
        sa.Column("browser", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["person"], ["people.name"], ondelete="CASCADE"),
    )
    op.create_index("ix_sign_ins_person", "sign_ins", ["person"])
    op.create_table(
        "invitations",
        sa.Column("id", HASH, nullable=False),
        sa.Column("role", NAME, nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("made_by", NAME, nullable=False),
        sa.Column("used_by", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "personal_tokens",
        sa.Column("id", HASH, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("last_used", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["person"], ["people.name"], ondelete="CASCADE"),
    )
    op.create_index("ix_personal_tokens_person", "personal_tokens", ["person"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("what", NAME, nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("address", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_by_person", "audit", ["person", "id"])
