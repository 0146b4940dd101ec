"""Runs of every kind with hand-made results, stored as if a worker had finished them."""

import importlib.util
import secrets
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI

from app.drawing.drawing import Source
from app.main import create_app
from tests.app.conftest import AskedEngine
from tests.app.pages.things import OTHERS, SECRET, Things, own
from worker.contract.facts import Fact, FactSet
from worker.contract.limits import Limits
from worker.contract.mask import Mask
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.store.acting import Acting
from worker.store.people_tables import PersonRow
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


@pytest.fixture
def open_app(settings: Settings, shared: FastAPI, engine: AskedEngine) -> FastAPI:
    """A shared server on which things may be shared with anybody."""
    with engine.store.database.write() as session:
        hashed = session.get_one(PersonRow, "max").password
        for name, role in OTHERS.items():
            made = {"disabled": False, "created": 1.0, "password": hashed}
            session.add(PersonRow(name=name, role=role, **made))
    told = {"shared": True, "anybody": True, "token": None}
    return create_app(settings.model_copy(update=told), engine)


@pytest.fixture
def things(
    open_app: FastAPI, engine: AskedEngine, put: Callable[[str, Source], str], made: ModuleType
) -> Things:
    store = engine.store.acting_for(Acting("max", may_all=False, may_open=True))
    rules: dict[str, Any] = {"seats": 9, "lasts": 3600.0, "limits": Limits()}
    held, link = store.make_class("Of max", "demo", ["localization/causal_tracing"], **rules)
    store.set_member(held.project, "paul", "viewer")
    olga = engine.store.acting_for(Acting("olga", may_all=False))
    _, another = olga.make_class("Another", "demo", [], **rules)
    logins = {"gus": store.join(link, "Gus").name, "gil": store.join(another, "Gil").name}
    run = put("localize", made.localization_source())
    engine.store.update_run(run, title=SECRET, tags=["x"])
    own(engine.store, run)
    fact = Fact(id="f1", subject=SECRET, prompt="{} is", target="a", edit_target="b")
    facts = store.save_fact_set(FactSet(name="set-of-max", title=SECRET, facts=(fact,)))
    mask = store.save_mask(SECRET, "demo", Mask(components=("blocks.1.mlp",)), localization=run)
    text = store.save_text("text-of-max", f"{SECRET} is a text to forget.")
    circuit = store.save_circuit("circuit-of-max", "view=circuit&prompt=" + SECRET)
    return Things(
        {
            "run": run,
            "fact set": facts.name,
            "mask": mask.id,
            "text": text.name,
            "circuit": circuit.name,
            "project": held.project,
            "class": held.id,
        },
        logins,
    )
