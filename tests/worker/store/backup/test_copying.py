"""Postgres' own programs: where they are looked for, and what they are given."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from worker.contract.errors import Unavailable, UserError
from worker.store.backup import copying


def test_programs_of_postgres_that_are_missing_are_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(copying, "PLACES", str(tmp_path))
    with pytest.raises(UserError, match=r"needs its program pg_restore.*postgresql-client"):
        copying._program("pg_restore")
    for version in ("9", "15"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "pg_restore").touch()
    assert copying._program("pg_restore") == str(tmp_path / "15/bin/pg_restore")


def test_a_password_is_given_in_the_environment_and_not_as_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@"; test "$PGPASSWORD" = s@crit || exit 1\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    copying._postgres("pg_dump", sa.make_url("postgresql+psycopg://ann:s%40crit@host:1/x"))
    program.write_text('#!/bin/sh\necho "$@" >&2; exit 1\n')
    url = sa.make_url("postgresql+psycopg://ann:s%40crit@host:1/x")
    with pytest.raises(Unavailable, match=r"its work: .* --dbname=postgresql://ann@host:1/x$"):
        copying._postgres("pg_dump", url)
