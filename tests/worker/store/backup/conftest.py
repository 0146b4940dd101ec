"""A store with something of every kind in it, and another place to put it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.worker.store.conftest import fresh
from tests.worker.store.test_runs import a_result, add, claim
from worker.contract.facts import Fact, FactSet
from worker.contract.mask import Mask
from worker.contract.settings import Settings
from worker.store.store import Store

FACTS = FactSet(
    name="mine", facts=(Fact(id="a", subject="Ada", prompt="{} plays", target="tennis"),)
)


def finish(store: Store, content: bytes) -> str:
    """Do as a worker does: the run's files first, then its result and final state."""
    run_id = add(store)
    attempt = store.begin_attempt(run_id, "w1", "g1")
    assert attempt is not None
    store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", content)
    store.artifacts.put_bytes(f"runs/{run_id}/delta/edit.safetensors", content[::-1])
    store.finish(run_id, attempt.number, "done", result=a_result())
    return run_id


def finish_again(store: Store) -> str:
    claim(store)
    run_id = finish(store, b"new")
    store.release_worker("w1", "g1")
    return run_id


def content(store: Store) -> dict[str, bytes]:
    found = {}
    for name in store.artifacts.every():
        with store.artifacts.open(name) as file:
            found[name] = file.read()
    return found


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with store.database.reader.connect() as connection:
        return {
            name: sorted(
                (tuple(row) for row in connection.execute(sa.text(f'SELECT * FROM "{name}"'))),
                key=repr,
            )
            for name in sa.inspect(connection).get_table_names()
        }


@pytest.fixture
def filled(store: Store, chosen: Settings) -> Store:
    claim(store)
    store.save_fact_set(FACTS)
    store.save_text("book", "Once upon a time.")
    store.save_mask("early", "demo", Mask(components=("blocks.1.mlp",), n_parameters=1, source=""))
    for _ in range(5):
        finish(store, os.urandom(1000))
    (chosen.data / "session.key").write_bytes(b"k" * 32)
    (chosen.data / "models" / "linked").mkdir(parents=True)
    (chosen.data / "models" / "own.safetensors").write_bytes(b"weights")
    (chosen.data / "models" / "linked" / "config.json").symlink_to("/srv/model/config.json")
    store.release_worker("w1", "g1")
    return store


@pytest.fixture
def elsewhere(chosen: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Another, empty place with the same kind of database."""
    kind = "sqlite" if chosen.database.startswith("sqlite") else "postgres"
    with fresh(kind, tmp_path_factory.mktemp("elsewhere") / "data") as made:
        yield made


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup")
