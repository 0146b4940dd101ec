"""Indexes in the order in which runs are listed, for each of the filters."""

from alembic import op

revision = "0006"
down_revision = "0005"
FILTERS = {
    "runs_listed": (),
    "runs_of_kind": ("kind",),
    "runs_of_kind_in_state": ("kind", "state"),
    "runs_in_state": ("state",),
    "runs_of_model": ("model",),
    "runs_of_owner": ("owner",),
    "runs_starred": ("starred",),
}


def upgrade() -> None:
    op.drop_index("runs_by_time", "runs")
    for name, columns in FILTERS.items():
        op.create_index(name, "runs", [*columns, "archived", "created", "id"], unique=False)
    op.create_index("ix_run_tags_tag", "run_tags", ["tag"], unique=False)
