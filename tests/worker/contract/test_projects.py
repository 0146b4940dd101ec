"""The words of projects: titles, roles in them, and who may see what."""

from datetime import UTC, datetime

import pytest

from worker.contract.errors import UserError
from worker.contract.projects import (
    Member,
    Project,
    project_role_of,
    project_title,
    visibility_of,
)


def test_a_title_is_kept_without_needless_spaces_and_refused_where_it_is_none() -> None:
    assert project_title("  Sports   facts\n") == "Sports facts"
    for given in ("", " \t", "x" * 101, "a\0b"):
        with pytest.raises(UserError, match="no title for a project"):
            project_title(given)


def test_what_is_no_role_and_no_visibility_is_refused_with_those_there_are() -> None:
    assert (project_role_of("owner"), visibility_of("anybody")) == ("owner", "anybody")
    with pytest.raises(UserError, match="viewer, member, owner"):
        project_role_of("admin")
    with pytest.raises(UserError, match="private, project, server, anybody"):
        visibility_of("public")


def test_a_project_says_what_a_person_is_in_it() -> None:
    members = (Member(person="max", role="owner"),)
    made = datetime(2026, 1, 1, tzinfo=UTC)
    project = Project(id="p", title="P", made_by="max", created=made, members=members)
    assert (project.role_of("max"), project.role_of("mia")) == ("owner", None)
