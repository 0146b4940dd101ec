import json

import pytest
from typer.testing import CliRunner

from tests.worker.core.explore.plain import look_at, model_of, prompts_of
from worker import lethe
from worker.cli.looking import said
from worker.cli.main import app
from worker.contract.errors import UserError
from worker.contract.result import Result

CLI = CliRunner()


def asked(tmp_path, data):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(data))
    return CLI.invoke(app, ["explore", str(path), *(["--json"] if data.get("view") else [])])


@pytest.mark.parametrize(
    ("view", "options"),
    [
        ("predictions", {"n_new": 0}),
        ("decomposition", {}),
        ("patch", {"cells": [{"layer": 7}], "n_new": 0}),
        ("neurons", {"layer": 3, "k": 3}),
    ],
)
def test_a_view_is_the_same_in_a_terminal(tmp_path, monkeypatch, view, options):
    monkeypatch.chdir(tmp_path)
    options = {**prompts_of("demo"), **options}
    told = asked(tmp_path, {"view": view, "options": options})
    assert told.exit_code == 0, told.output
    result = Result.model_validate_json(told.stdout)
    direct = look_at(view, model_of("demo"), **options)
    assert result.caption == direct.caption
    assert set(result.arrays) == set(direct.arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"], "nothing is written"
    words = "\n".join(said(result))
    assert all(title.title in words for title in direct.tables.values())


def test_what_is_printed_breaks_no_line(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"view": "predictions", "options": {"prompt": "\n\nA", "n_new": 0}}))
    told = CLI.invoke(app, ["explore", str(path)])
    assert told.exit_code == 0
    table = told.stdout.split("Likeliest next tokens\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 11, "ten tokens under their columns"


def test_another_kind_of_spec_is_sent_to_where_it_runs(tmp_path):
    told = asked(tmp_path, {"kind": "export", "model": {"base": "demo", "edits": []}})
    assert isinstance(told.exception, UserError)
    spec = {"kind": "evaluate", "facts": {"set": "athletes"}}
    told = asked(tmp_path, spec)
    assert isinstance(told.exception, UserError)
    assert "`lethe run` takes all" in told.exception.message


def test_a_view_is_a_plain_function_too():
    model = model_of("demo")
    found = lethe.explore(model, "lens", **prompts_of("demo"), positions=(20, 30))
    assert found.arrays["lens.target"].values.shape == (17, 10)
    with pytest.raises(UserError, match="empty"):
        lethe.explore(model, "lens", prompt="")
    with pytest.raises(UserError, match="There are"):
        lethe.explore(model, "lense", prompt="a")
