"""`lethe bundle` and `lethe run bundle.zip`: from one folder to another, and the numbers agree."""

import json
import zipfile
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from worker.cli import main as cli

FACTS = {"set": "athletes", "forget": "first:2"}
TRACE = {"kind": "localize", "facts": FACTS, "method": "attribution_patching"}
EDIT = {
    "kind": "unlearn",
    "facts": FACTS,
    "mask": {"components": ["blocks.1.mlp"]},
    "options": {"steps": 2},
}
LENS = {"kind": "localize", "facts": FACTS, "method": "direct_logit_attribution"}


def lethe(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(one) for one in arguments])


def write(path: Path, spec: dict[str, object]) -> Path:
    path.write_text(json.dumps(spec))
    return path


def test_a_folders_bundle_repeats_with_the_same_numbers(tmp_path: Path) -> None:
    assert lethe("run", write(tmp_path / "s.json", TRACE), "--out", tmp_path / "a").exit_code == 0
    packed = tmp_path / "a.zip"
    done = lethe("bundle", tmp_path / "a", "--out", packed)
    assert done.exit_code == 0, done.output
    again = lethe("run", packed, "--out", tmp_path / "b")
    assert again.exit_code == 0, again.output
    assert "recorded numbers compared, 0 differ" in again.output
    assert lethe("bundle", tmp_path / "a", "--out", packed).exit_code != 0, "it is not overwritten"


def test_a_bundle_of_a_run_on_an_edit_carries_the_edit_and_no_folder_names(
    tmp_path: Path,
) -> None:
    edit = lethe("run", write(tmp_path / "e.json", EDIT), "--out", tmp_path / "edit")
    assert edit.exit_code == 0, edit.output
    lens = write(tmp_path / "l.json", LENS)
    on_edit = lethe("run", lens, "--out", tmp_path / "lens", "--edits", tmp_path / "edit")
    assert on_edit.exit_code == 0, on_edit.output
    packed = tmp_path / "lens.zip"
    done = lethe("bundle", tmp_path / "lens", "--out", packed)
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(packed) as bundle:
        names = [name for name in bundle.namelist() if name.endswith(".json")]
        assert all(str(tmp_path).encode() not in bundle.read(name) for name in names)
    again = lethe("run", packed, "--out", tmp_path / "again")
    assert again.exit_code == 0 and "0 differ" in again.output, again.output
    other = json.loads((tmp_path / "lens/result.json").read_text())
    other["summary"]["metric.clean"] += 1
    (tmp_path / "lens/result.json").write_text(json.dumps(other))
    (tmp_path / "wrong.zip").unlink(missing_ok=True)
    lethe("bundle", tmp_path / "lens", "--out", tmp_path / "wrong.zip")
    differs = lethe("run", tmp_path / "wrong.zip", "--out", tmp_path / "once more")
    assert differs.exit_code == 1
    assert "metric.clean: recorded" in differs.output and "1 differ" in differs.output
