"""A study without a server: its children are found again, and what was cut off is computed anew."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from worker.cli import local_study
from worker.cli.local import read_result
from worker.cli.main import app
from worker.contract.errors import Diverged, UserError
from worker.contract.result import Provenance, Result
from worker.contract.spec import LocalizeSpec, StudySpec

SPEC = LocalizeSpec.model_validate(
    {"facts": {"set": "athletes", "forget": "first:2"}, "method": "fact_lookup"}
)


@pytest.fixture
def computed(monkeypatch) -> list[Path]:
    """Folders in which a child was computed; computing is replaced by writing a result."""
    folders: list[Path] = []

    def run(spec, inputs, report, models):
        made = Provenance(
            model="demo", weights_hash="h", seed=0, device="cpu", dtype="float32", versions={}
        )
        found = Result(kind="localize", spec={}, provenance=made, seconds=1, peak_memory_bytes=1)
        out = Path(inputs.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").write_text(found.model_dump_json())
        folders.append(out)
        return found

    monkeypatch.setattr(local_study, "run", run)
    return folders


def test_a_finished_child_is_read_and_not_computed_again(tmp_path, computed) -> None:
    first = local_study._child(SPEC, tmp_path, None, None)
    again = local_study._child(SPEC, tmp_path, None, None)
    assert len(computed) == 1 and first.handle == again.handle
    assert again.result is not None and again.result.kind == "localize"


def test_a_result_that_was_cut_off_is_computed_again(tmp_path, computed) -> None:
    local_study._child(SPEC, tmp_path, None, None)
    path = computed[0] / "result.json"
    path.write_text(path.read_text()[:40])
    assert local_study._child(SPEC, tmp_path, None, None).result is not None
    assert len(computed) == 2


def test_a_child_that_fails_gives_its_reason(tmp_path, monkeypatch) -> None:
    def run(*args):
        raise Diverged("the loss is NaN")

    monkeypatch.setattr(local_study, "run", run)
    child = local_study._child(SPEC, tmp_path, None, None)
    assert child.result is None and child.reason == "the loss is NaN"


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        (
            {"masks": {"a": {"title": "A", "localization": {"method": "fact_lokup"}}}},
            "masks.a.localization.method",
            "Did you mean 'fact_lookup'?",
        ),
        (
            {"methods": {"edit": {"title": "Edit", "search": {"learning_rate": [-1]}}}},
            "methods.edit.options.learning_rate",
            "greater than 0",
        ),
        ({"options": {"probes": {"format": []}}}, "options.probes.format", "Did you mean"),
        ({"evaluations": ["probs"]}, "evaluations", "Did you mean 'probes'?"),
    ],
)
def test_a_wrong_name_is_refused_before_any_run_begins(changed, field, words) -> None:
    study = {
        "facts": {"set": "athletes", "forget": "first:2"},
        "masks": {"a": {"title": "A", "components": ["blocks.1.mlp"]}},
        "methods": {"edit": {"title": "Edit"}},
        "score": {"names": ["x"]},
        "budget": "a",
    }
    if "masks" in changed:
        changed["masks"]["a"]["suggested"] = True
    spec = StudySpec.model_validate(study | changed)
    with pytest.raises(UserError) as refused:
        local_study.check_study(spec, frozenset({"blocks.1.mlp"}))
    ((said, sentence),) = refused.value.problems
    assert said == field and words in sentence


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(tmp_path) -> None:
    spec = {
        "kind": "study",
        "facts": {"set": "athletes", "forget": "first:2"},
        "masks": {
            "early": {"title": "Early", "components": ["blocks.1.mlp"]},
            "late": {"title": "Late", "components": ["blocks.6.mlp"]},
        },
        "methods": {
            "edit": {"title": "Edit", "method": "localized_finetuning", "options": {"steps": 3}}
        },
        "seeds": [0],
        "evaluations": ["probes"],
        "options": {"probes": {"formats": ["statement"], "retain_facts": 4}},
        "reference": "early",
    }
    (tmp_path / "study.json").write_text(json.dumps(spec))
    results = []
    for processes in ("1", "2"):
        out = tmp_path / processes
        arguments = ["run", str(tmp_path / "study.json"), "--out", str(out)]
        ran = CliRunner().invoke(app, [*arguments, "--processes", processes])
        assert ran.exit_code == 0, ran.output
        results.append(read_result(out).summary)
    assert results[0].keys() == results[1].keys() and len(results[0]) > 10
    for name, value in results[0].items():
        if not name.endswith("seconds"):
            same = value if value is None else pytest.approx(value, rel=1e-3, abs=1e-4)
            assert results[1][name] == same, name


POOL = """
import multiprocessing, time
from concurrent.futures import ProcessPoolExecutor
from worker.cli.local_study import _begin_process

with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_process, (1,)) as pool:
    pool.submit(int).result()
    print(next(iter(pool._processes)), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_study_leaves_no_process_behind() -> None:
    begun = subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True)
    assert begun.stdout is not None
    child = psutil.Process(int(begun.stdout.readline()))
    begun.kill()
    begun.wait()
    begun.stdout.close()
    child.wait(timeout=20)
