"""Projects with members, and of everything that is made its project and who may see it.

What a shared server holds already, its people have seen: it stays visible to the server, and
nothing of it is in a project. What is made from then on is its owner's alone unless they choose.

The lists' indexes hold whose a run is and who may see it, so that what may not be seen is passed
over without reading its row. A mask's version counts among the masks of its name and owner, and
what a model knows of a set may be measured by several runs, of people who do not see each other's.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
NAME = sa.String(length=255)
KEY = sa.String(length=64)
MADE = ("runs", "fact_sets", "texts", "masks", "circuits")
SEEN_BY = ["owner", "visibility", "project"]
FILTERS = {
    "runs_listed": [],
    "runs_of_kind": ["kind"],
    "runs_of_kind_in_state": ["kind", "state"],
    "runs_in_state": ["state"],
    "runs_of_model": ["model"],
    "runs_starred": ["starred"],
}
HELD = ["archived", "created", "id", "search", "kind", "state", "model", "owner", "starred"]


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", KEY, nullable=False),
        sa.Column("title", NAME, nullable=False),
        sa.Column("made_by", NAME, nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "project_members",
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("role", NAME, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "person"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person"], ["people.name"], ondelete="CASCADE"),
    )
    op.create_index("ix_project_members_person", "project_members", ["person"])
    for table in MADE:
        op.add_column(table, sa.Column("project", KEY, nullable=False, server_default=""))
        seen = sa.Column("visibility", NAME, nullable=False, server_default="server")
        op.add_column(table, seen)
    for name, columns in FILTERS.items():
        op.drop_index(name, "runs")
        op.create_index(name, "runs", [*columns, "archived", "created", "id", *SEEN_BY])
    op.drop_index("runs_of_owner", "runs")
    of_owner = ["owner", "archived", "created", "id", "visibility", "project"]
    op.create_index("runs_of_owner", "runs", of_owner)
    of_project = ["project", "archived", "created", "id", "owner", "visibility"]
    op.create_index("runs_of_project", "runs", of_project)
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("runs_searched", "runs")
        op.create_index("runs_searched", "runs", [*HELD, "visibility", "project"])
    _let_several_measure()
    op.drop_index("masks_by_name", "masks")
    op.create_index("masks_by_name", "masks", ["name", "owner", "version"], unique=True)


def _let_several_measure() -> None:
    """Make the table of what is known anew: SQLite changes no key."""
    op.create_table(
        "knowledge_of_several",
        sa.Column("weights_hash", KEY, nullable=False),
        sa.Column("edits", NAME, nullable=False),
        sa.Column("set_hash", KEY, nullable=False),
        sa.Column("model", NAME, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.PrimaryKeyConstraint("weights_hash", "edits", "set_hash", "run_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
    )
    columns = "weights_hash, edits, set_hash, model, run_id"
    op.execute(f"INSERT INTO knowledge_of_several ({columns}) SELECT {columns} FROM knowledge")
    op.drop_table("knowledge")
    op.rename_table("knowledge_of_several", "knowledge")
    op.create_index("knowledge_by_model", "knowledge", ["model", "set_hash"])
