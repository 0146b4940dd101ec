"""The command line: once as a user's process, else by its entry point in this one.

In this process what a command refuses reaches `main` as it does there, and torch is loaded already.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.forms import form_fields
from worker.cli.main import main
from worker.contract.settings import settings

SPEC = {
    "kind": "localize",
    "facts": {"set": "athletes", "forget": "first:2"},
    "method": "attribution_patching",
}
PLUGIN = '''"""Scores every MLP by its layer. It is a test's own method."""

import numpy as np

from worker.contract.base import Options as BaseOptions
from worker.contract.result import Attribution, Axis
from worker.core.findings import Array, Findings
from pydantic import Field

TITLE = "By layer"


class Options(BaseOptions):
    """One option."""

    factor: float = Field(2.0, gt=0, description="What the layer is multiplied by.")


def localize(model, facts, options, job):
    names = tuple(f"blocks.{layer}.mlp" for layer in range(model.n_layers))
    scores = np.arange(model.n_layers) * options.factor
    axes = (Axis(name="component", labels=names),)
    attribution = Attribution(method="by_layer", metric="m", direction="d", unit="u")
    return Findings(arrays={"components": Array(scores, axes, "u")}, attribution=attribution)
'''


Done = subprocess.CompletedProcess[str]


@pytest.fixture
def lethe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Call the entry point with a command's arguments, and give how it ended."""

    def call(*arguments: str, **environment: str) -> Done:
        with monkeypatch.context() as here:
            here.setattr(sys, "argv", ["lethe", *arguments])
            for name, value in environment.items():
                here.setenv(name, value)
            settings.cache_clear()
            with pytest.raises(SystemExit) as ended:
                main()
        settings.cache_clear()
        out, err = capsys.readouterr()
        return Done(arguments, int(ended.value.code or 0), out, err)

    return call


def write(path: Path, spec: object) -> str:
    path.write_text(json.dumps(spec))
    return str(path)


def test_a_run_writes_its_result_and_arrays(tmp_path: Path) -> None:
    spec = write(tmp_path / "s.json", SPEC)
    command = [sys.executable, "-m", "worker.cli.main", "run", spec, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert {
        "kind",
        "spec",
        "provenance",
        "seconds",
        "peak_memory_bytes",
        "arrays",
        "summary",
    } <= set(result)
    assert result["spec"]["options"], "the defaults are filled in"
    assert result["arrays"]["components"]["axes"][0]["name"] == "component"
    assert (tmp_path / "out" / result["arrays"]["components"]["file"]).is_file()


def test_an_edit_and_an_evaluation_follow_each_other_through_folders(
    tmp_path: Path, lethe: Callable[..., Done]
) -> None:
    mask = {"components": ["blocks.0.mlp", "blocks.1.mlp"]}
    facts = {"set": "athletes", "forget": "first:2"}
    edit = {"kind": "unlearn", "facts": facts, "mask": mask, "options": {"steps": 3}}
    done = lethe("run", write(tmp_path / "e.json", edit), "--out", str(tmp_path / "edit"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "edit/result.json").read_text())
    assert result["receipt"]["outside_unchanged"] and result["receipt"]["base_restored"]
    few = {"probes": {"formats": ["statement"], "retain_facts": 4}}
    asked = {"kind": "evaluate", "facts": facts, "evaluations": ["probes"], "options": few}
    done = lethe(
        "run",
        write(tmp_path / "p.json", asked),
        "--out",
        str(tmp_path / "probes"),
        "--edits",
        str(tmp_path / "edit"),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "probes/result.json").read_text())["summary"]
    before = summary["probes.statement.forget.edit_probability.before"]
    assert summary["probes.statement.forget.edit_probability.after"] != before


def test_a_method_in_a_plugin_folder_is_in_announcement_form_and_menu_and_runs(
    tmp_path: Path, plugins: Callable[..., Path], lethe: Callable[..., Done]
) -> None:
    plugins({"localization/by_layer.py": PLUGIN})
    announced = lethe("menu", "--json")
    methods = {m["name"]: m for m in json.loads(announced.stdout)["methods"]}
    (field,) = form_fields(methods["by_layer"]["options"])
    assert (field.name, field.default, field.minimum) == ("options.factor", "2", 0)
    assert field.help == "What the layer is multiplied by."
    listed = lethe("menu")
    assert "localization by_layer: Scores every MLP by its layer." in listed.stdout
    assert "factor = 2.0" in listed.stdout
    spec = write(tmp_path / "s.json", {**SPEC, "method": "by_layer"})
    done = lethe("run", spec, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "atp"}, "No localization method 'atp'"),
        ({"model": "demoo"}, "Did you mean 'demo'"),
        ({"facts": {"set": "athlete"}}, "Did you mean 'athletes'"),
        ({"facts": {"set": "athletes", "forget": "first:0"}}, "from 1 to"),
        ({"options": {"metrik": "x"}}, "Did you mean 'metric'"),
        ({"kind": "unlearn", "mask": {"components": ["blocks.99.mlp"]}}, "blocks.99.mlp"),
    ],
)
def test_a_wrong_spec_is_one_sentence_and_exit_code_2(
    tmp_path: Path, lethe: Callable[..., Done], change: dict[str, object], words: str
) -> None:
    spec = {**SPEC, **change}
    if spec["kind"] == "unlearn":
        del spec["method"]
    done = lethe("run", write(tmp_path / "s.json", spec), "--out", str(tmp_path / "out"))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert [line.startswith("lethe: ") for line in done.stderr.splitlines() if "%" not in line] == [
        True
    ]
    assert not (tmp_path / "out").exists()


def test_doctor_describes_every_setting(tmp_path: Path, lethe: Callable[..., Done]) -> None:
    done = lethe("doctor", LETHE_DATA=str(tmp_path / "data"))
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("DATA", "HOST", "PORT", "DATABASE_URL", "ARTIFACTS_URL", "MODEL_ROOTS"):
        assert f"LETHE_{name} =" in done.stdout
    for name in ("DEVICE", "MAX_MEMORY", "TOKEN", "LANES", "WORKER_HOST", "PLUGINS"):
        assert f"LETHE_{name} =" in done.stdout


def test_doctor_says_what_models_may_take_of_each_device(
    tmp_path: Path, lethe: Callable[..., Done]
) -> None:
    done = lethe("doctor", LETHE_DATA=str(tmp_path), LETHE_MAX_MEMORY="cpu=1.5MB")
    assert "models may take 0.0015 GB on cpu" in done.stdout
    wrong = lethe("doctor", LETHE_DATA=str(tmp_path), LETHE_DEVICE="cpu,gpu")
    assert wrong.returncode == 1
    assert "LETHE_DEVICE is 'cpu,gpu'; expected auto" in wrong.stdout


def test_doctor_names_what_is_missing_and_the_cure(
    tmp_path: Path, lethe: Callable[..., Done]
) -> None:
    done = lethe(
        "doctor",
        LETHE_DATA=str(tmp_path),
        LETHE_DATABASE_URL="postgresql+psycopg://x@127.0.0.1:1/x",
    )
    assert done.returncode == 1
    assert "NO  database" in done.stdout
    assert "LETHE_DATABASE_URL" in done.stdout


def test_serve_starts_nothing_with_a_weak_token(
    monkeypatch: pytest.MonkeyPatch, lethe: Callable[..., Done]
) -> None:
    started: list[None] = []
    monkeypatch.setattr("worker.cli.serving.serve", lambda: started.append(None) or 0)
    done = lethe("serve", LETHE_TOKEN="geheim")
    assert done.returncode == 2 and "LETHE_TOKEN has 6 characters" in done.stderr
    assert not started


def test_serve_tells_what_it_starts_under_which_path_the_server_lies(
    monkeypatch: pytest.MonkeyPatch, lethe: Callable[..., Done]
) -> None:
    seen: list[str] = []

    def started() -> int:
        settings.cache_clear()
        seen.append(settings().root_path)
        return 0

    monkeypatch.setattr("worker.cli.serving.serve", started)
    assert lethe("serve", "--root-path", "/lethe", LETHE_ROOT_PATH="/other").returncode == 0
    assert seen == ["/lethe"]


@pytest.mark.parametrize(
    ("arguments", "shared", "is_open"),
    [((), False, False), (("--shared",), True, False), (("--open",), True, True)],
)
def test_serve_tells_what_it_starts_that_the_server_is_shared_and_open(
    monkeypatch: pytest.MonkeyPatch,
    lethe: Callable[..., Done],
    arguments: tuple[str, ...],
    shared: bool,
    is_open: bool,
) -> None:
    seen: list[tuple[bool, bool]] = []

    def started() -> int:
        settings.cache_clear()
        is_told = os.environ["LETHE_SHARED"] == "1"
        seen.append((settings().shared and is_told, settings().open))
        return 0

    monkeypatch.setattr("worker.cli.serving.serve", started)
    told = {"LETHE_SHARED": "0", "LETHE_OPEN": "0"}
    assert lethe("serve", *arguments, **told).returncode == 0
    assert seen == [(shared, is_open)]
