"""Runs of every kind with hand-made results, stored as if a worker had finished them."""

import importlib.util
import secrets
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.drawing.drawing import Source
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.store.runs import insert_run

WORKER = "test-host:cpu"
FACTS = {"set": "sports", "forget": "first:16"}
SPECS: dict[str, dict[str, Any]] = {
    "localize": {"kind": "localize", "facts": FACTS, "method": "causal_tracing"},
    "unlearn": {"kind": "unlearn", "facts": FACTS, "mask": {"components": ["blocks.1.mlp"]}},
    "evaluate": {"kind": "evaluate", "facts": FACTS, "evaluations": ["probes"]},
}


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The hand-made results of the figures' tests."""
    path = Path(__file__).parents[1] / "figures" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_results", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Put = Callable[[str, Source], str]


@pytest.fixture
def put(engine: Engine) -> Put:
    """Store a result as a finished run."""

    def finish(kind: str, source: Source) -> str:
        run_id, attempt = begin(engine, kind)
        data = source.open("arrays.npz").read()
        engine.store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", data)
        engine.store.finish(run_id, attempt, "done", "", source.result)
        return run_id

    return finish


@pytest.fixture
def begun(engine: Engine) -> Callable[[str], tuple[str, int]]:
    """Start a run of a kind that nobody computes; its id and attempt."""
    return lambda kind: begin(engine, kind)


def begin(engine: Engine, kind: str) -> tuple[str, int]:
    with engine.store.database.write() as session:
        run_id = insert_run(
            session,
            parse_spec(SPECS[kind]),
            owner="",
            title=secrets.token_hex(3),
            tags=(),
            parents=None,
            priority=1,
        )
    attempt = engine.store.begin_attempt(run_id, WORKER, "g")
    assert attempt is not None
    return run_id, attempt.number
