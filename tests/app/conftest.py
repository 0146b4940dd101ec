"""A real store with an announced worker that answers questions in this process, and a client.

No compute is needed here: the worker's row, announcement and answers are made by hand.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from tests.app.people import settle
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskExplore, AskReadFacts, Question
from worker.contract.menu import Announcement, FormatInfo, MethodInfo, ModelInfo, Preflight
from worker.contract.result import Provenance, Result
from worker.contract.settings import Settings
from worker.core.facts.reading import file_formats, read_facts
from worker.engine.client import Engine, NoWorker

TOKEN = "a-token-for-tests"
ROOT = "/lethe"
"""Where a proxy has the server, in the tests of that."""
WORKER = "test-host:cpu"

OPTIONS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n_noises": {
            "type": "integer",
            "default": 10,
            "minimum": 1,
            "maximum": 100,
            "description": "Noise draws per fact.",
        },
        "scale": {"type": "number", "default": 3.0, "exclusiveMinimum": 0},
        "corruption": {"enum": ["noise", "mean"], "default": "noise", "type": "string"},
        "sites": {
            "type": "array",
            "items": {"enum": ["resid", "mlp", "attn"], "type": "string"},
            "default": ["resid", "mlp"],
            "minItems": 1,
        },
        "is_exact": {"type": "boolean", "default": True},
        "window": {
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}],
            "default": None,
        },
    },
}


def announcement() -> Announcement:
    """What the test's worker can do."""
    components = {f"blocks.{layer}.{kind}": 100 for layer in range(4) for kind in ("mlp", "attn")}
    method = {"paper": "", "options": OPTIONS}
    return Announcement(
        methods=(
            MethodInfo(
                kind="localization",
                name="causal_tracing",
                title="Causal tracing",
                summary="Restores clean states in a corrupted run.",
                **method,
            ),
            MethodInfo(
                kind="unlearning",
                name="localized_finetuning",
                title="Localized fine-tuning",
                summary="Trains the mask's parameters alone.",
                **method,
            ),
            MethodInfo(
                kind="evaluation",
                name="probes",
                title="Probes",
                summary="Asks before and after.",
                **method,
            ),
        ),
        models=(
            ModelInfo(id="demo", title="Demo", n_layers=4, component_parameters=components),
            ModelInfo(
                id="broken",
                title="Broken",
                path="/models/broken",
                problem="its weights are a pickle",
            ),
        ),
        fact_sets=(),
        formats=(FormatInfo(name="statement", title="Statement"),),
        file_formats=file_formats(),
        device="cpu",
        device_name="a CPU",
        memory_bytes=8_000_000_000,
        versions={"torch": "0"},
    )


def fact_set(name: str = "sports", n: int = 40) -> FactSet:
    """Facts of two groups."""
    facts = tuple(
        Fact(
            id=f"fact-{i}",
            subject=f"Athlete {i}",
            prompt="{} plays the sport of",
            target=("football", "baseball")[i % 2],
            edit_target="golf",
            group=("football", "baseball")[i % 2],
        )
        for i in range(n)
    )
    return FactSet(name=name, title=name.title(), facts=facts)


class AskedEngine(Engine):
    """An engine whose questions are answered here; `is_alive` False answers like no worker."""

    is_alive = True
    refusal: UserError | None = None

    def ask(self, question: Question, timeout: float = 10) -> dict[str, Any]:
        if not self.is_alive:
            raise NoWorker("No worker is alive to answer. Start one with `lethe worker`.")
        if self.refusal is not None:
            raise self.refusal
        if isinstance(question, AskReadFacts):
            path = self.store.artifacts.local(question.path)
            found = read_facts(path, question.filename, question.mapping)
            return found.model_dump(mode="json")
        if isinstance(question, AskExplore):
            made = Provenance(
                model=question.spec.base, weights_hash="w", seed=0, device="cpu", dtype="float32",
                versions={},
            )  # fmt: skip
            shown = Result(
                kind="explore", spec={}, provenance=made, seconds=0.1, peak_memory_bytes=1
            )
            return shown.model_dump(mode="json")
        return Preflight(n_facts=16, n_tokens=200, seconds=12.0).model_dump(mode="json")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose tables are made; copying it is faster than making them again."""
    data = tmp_path_factory.mktemp("prepared")
    engine = Engine.open(Settings(data=data))
    engine._client()
    engine.close()
    return data


@pytest.fixture
def settings(tmp_path: Path, prepared: Path) -> Settings:
    shutil.copytree(prepared, tmp_path / "data")
    return Settings(data=tmp_path / "data", token=TOKEN, host="127.0.0.1", port=0)


@pytest.fixture
def empty_engine(settings: Settings) -> Iterator[AskedEngine]:
    """A fresh data folder, before any worker was there."""
    engine = AskedEngine.open(settings)
    yield engine
    engine.close()


@pytest.fixture
def engine(empty_engine: AskedEngine) -> AskedEngine:
    """A data folder with a live worker's announcement and one fact set."""
    store = empty_engine.store
    store.claim_worker(WORKER, "g", {}, "cpu", 1e9, lambda holder: True)
    store.announce(WORKER, "g", announcement())
    store.save_fact_set(fact_set(), bundled=True)
    return empty_engine


@pytest.fixture
def stranger(settings: Settings, engine: AskedEngine) -> Iterator[TestClient]:
    """A browser that is not signed in."""
    app = create_app(settings, engine)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(stranger: TestClient) -> TestClient:
    """A browser that is signed in; it sends the CSRF token as the pages' scripts do."""
    page = stranger.get(f"/?token={TOKEN}")
    assert page.status_code == 200
    token = page.text.split('"X-CSRF-Token": "')[1].split('"')[0]
    stranger.headers["X-CSRF-Token"] = token
    return stranger


@pytest.fixture
def shared(settings: Settings, engine: AskedEngine) -> FastAPI:
    """A shared server with the people of `tests.app.people`."""
    settle(engine.store)
    return create_app(settings.model_copy(update={"shared": True, "token": None}), engine)


@pytest.fixture
def house(settings: Settings, engine: AskedEngine) -> FastAPI:
    """An open house with the same people."""
    settle(engine.store)
    told = {"shared": True, "open": True, "token": None}
    return create_app(settings.model_copy(update=told), engine)


@pytest.fixture
def visitor(house: FastAPI) -> Iterator[TestClient]:
    """A browser of who has no account there."""
    with TestClient(house, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def lying(settings: Settings, engine: AskedEngine) -> FastAPI:
    """The server under a prefix, for one reader."""
    return create_app(settings.model_copy(update={"root_path": ROOT}), engine)


@pytest.fixture
def inside(lying: FastAPI) -> Iterator[TestClient]:
    """A browser that is signed in there."""
    with TestClient(lying, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        page = client.get(f"{ROOT}/?token={TOKEN}")
        assert page.status_code == 200
        client.headers["X-CSRF-Token"] = page.text.split('"X-CSRF-Token": "')[1].split('"')[0]
        yield client


@pytest.fixture
def script(stranger: TestClient) -> TestClient:
    """A script with the API's token."""
    stranger.headers["Authorization"] = f"Bearer {TOKEN}"
    return stranger


@pytest.fixture
def spec() -> dict[str, Any]:
    """A spec that is accepted."""
    return {
        "kind": "localize",
        "model": "demo",
        "facts": {"set": "sports", "forget": "first:16", "edit_to": ""},
        "method": "causal_tracing",
        "options": {"n_noises": 5},
        "seed": 0,
    }
