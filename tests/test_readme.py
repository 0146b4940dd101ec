"""The README's commands and examples, run as they stand there."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.readme import BLOCKS, README, ROOT, block, examples
from worker import lethe
from worker.cli.main import app as command_line
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.core.asking.before_after import BeforeAfter
from worker.core.registry import method
from worker.engine.staying import Stay

COMMANDS = [
    line for language, text in BLOCKS if language == "sh" for line in text.splitlines() if line
]
BIN = Path(sys.executable).parent


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shlex.split(command),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
        timeout=300,
        check=False,
    )


def test_every_command_is_known_to_a_test_here() -> None:
    assert set(COMMANDS) == {
        "make serve",
        "make test",
        "lethe menu",
        "lethe doctor",
        "lethe run spec.json --out runs/trace",
    }


@pytest.mark.slow
def test_make_serve_starts_server_and_worker_and_stops_both(tmp_path: Path) -> None:
    environment = {**os.environ, "LETHE_DATA": str(tmp_path), "LETHE_PORT": "0"}
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["make", "serve"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        health = {}
        deadline = time.monotonic() + 120
        while not health.get("worker_alive") and time.monotonic() < deadline:
            time.sleep(0.5)
            assert process.poll() is None, log.read_text()
            found = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=\S+", log.read_text())
            if found:
                with urllib.request.urlopen(f"{found[1]}/healthz", timeout=30) as answer:
                    health = json.load(answer)
        assert health.get("worker_alive"), (health, log.read_text())
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


def test_the_script_for_a_cluster_starts_a_worker_with_options_that_there_are(
    tmp_path: Path,
) -> None:
    (tmp_path / "job").write_text(block("bash"))
    (tmp_path / "lethe").write_text('#!/bin/sh\necho "$LETHE_ARTIFACTS_URL" "$@"\n')
    (tmp_path / "lethe").chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    started = run(f"bash {tmp_path / 'job'}", PATH=path, SLURM_JOB_ID="17", HOME="/home/ann")
    artifacts, *arguments = started.stdout.split()
    assert (artifacts, arguments[:3]) == ("s3://lethe-artifacts", ["worker", "--name", "slurm-17"])
    told = CliRunner().invoke(command_line, ["worker", "--help"]).stdout
    assert all(option in told for option in arguments if option.startswith("--"))
    assert Stay.given(arguments[4], arguments[6]).takes_runs()


def test_make_test_is_the_whole_suite() -> None:
    planned = run("make -n test").stdout
    assert re.search(r"python -m tests.suite$", planned, re.MULTILINE), planned


def test_the_menu_lists_what_the_readme_names() -> None:
    listed = run("lethe menu").stdout
    assert "localization causal_tracing" in listed
    assert "athletes (510)" in listed


def test_the_example_spec_runs_and_writes_what_is_promised(tmp_path: Path) -> None:
    spec = json.loads(block("json"))
    assert parse_spec(spec).kind == "localize"
    spec["facts"]["forget"] = "first:2"
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = COMMANDS[-1].replace("spec.json", str(tmp_path / "spec.json"))
    done = run(command.replace("runs/trace", str(tmp_path / "out")))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/result.json").is_file()


@pytest.mark.slow
def test_the_example_in_python_edits_and_reverts(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(block("python", "from worker import lethe"))
    done = run(f"{sys.executable} {script}", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    assert "parameters changed" in done.stdout
    assert float(last.removeprefix("reverted: ")) > 0.9


def test_the_examples_are_found_and_run(plugins: Callable[..., Path], tmp_path: Path) -> None:
    plugins(examples())
    listed = CliRunner().invoke(command_line, ["menu"]).stdout
    assert "localization weight_norm: Scores every MLP by the norm of its weights." in listed
    assert "evaluation said_first: Counts the facts" in listed
    model, facts = lethe.load("demo"), lethe.facts("athletes", forget="first:4")
    scores = lethe.localize(model, facts, "weight_norm").arrays["components"].values
    mlp = model.blocks[0].get_submodule(model.layout.mlp)
    norm = torch.cat([part.detach().flatten() for part in mlp.parameters()]).norm()
    assert len(scores) == model.n_layers and scores[0] == pytest.approx(float(norm), rel=1e-5)
    said_first = method("evaluation", "said_first")
    found = said_first.function(BeforeAfter(model), facts, said_first.options(), None)
    assert found.summary["said_first.forget.before"] == 1.0
    table = tmp_path / "mine.bar"
    table.write_text("Ann Able|{} plays|golf\n")
    assert lethe.facts(table, forget="first:1").forget[0].text == "Ann Able plays"


def test_the_doctor_finds_this_machine_well(tmp_path: Path) -> None:
    done = run("lethe doctor", LETHE_DATA=str(tmp_path))
    assert done.returncode == 0, done.stdout


def test_every_setting_is_named() -> None:
    missing = [name for name in Settings.model_fields if f"LETHE_{name.upper()}" not in README]
    assert missing == []


def test_every_room_of_the_source_is_described() -> None:
    rooms = [p.name for p in (ROOT / "worker").iterdir() if p.is_dir() and p.name[0] != "_"]
    assert [room for room in rooms if f"worker/{room}/" not in README] == []
