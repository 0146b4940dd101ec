"""`lethe run` given a server's data folder: its fact sets, splits, masks and runs are found."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from worker.cli.local import prepare
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.mask import Mask
from worker.contract.result import ArrayInfo, Axis, Provenance, Result
from worker.contract.settings import Settings, settings
from worker.core.facts.reading import bundled_fact_sets
from worker.store.store import Store

FACT = Fact(id="a", subject="Ada", prompt="{} plays", target="tennis", edit_target="golf")
SPEC = {"kind": "localize", "facts": {"set": "mine"}, "method": "logit_lens"}
EDIT = {"kind": "unlearn", "facts": {"set": "mine"}, "mask": {"id": ""}}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path / "data"))
    settings.cache_clear()
    yield tmp_path / "data"
    settings.cache_clear()


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    opened = Store.open(Settings(data=data))
    opened.save_fact_set(FactSet(name="mine", facts=(FACT,)))
    yield opened
    opened.close()


def test_the_servers_own_sets_and_splits_are_found(store: Store, tmp_path: Path) -> None:
    _, inputs = prepare(SPEC, tmp_path / "out", [])
    assert inputs.fact_set is not None and inputs.fact_set.facts == (FACT,)
    athletes = next(found for found in bundled_fact_sets() if found.name == "athletes")
    store.save_fact_set(athletes, bundled=True)
    store.save_split("athletes", "few", [athletes.facts[3].id])
    facts = {"set": "athletes", "forget": "few"}
    _, inputs = prepare({**SPEC, "facts": facts}, tmp_path / "out", [])
    assert inputs.fact_set is not None
    assert inputs.fact_set.splits["few"] == (athletes.facts[3].id,)


def test_a_stored_mask_is_found_and_not_taken_for_another_models(
    store: Store, tmp_path: Path
) -> None:
    mask = Mask(components=("blocks.1.mlp",), n_parameters=1, source="by hand")
    record = store.save_mask("early", "demo", mask)
    _, inputs = prepare({**EDIT, "mask": {"id": record.id}}, tmp_path / "out", [])
    assert inputs.mask is not None and inputs.mask.components == ("blocks.1.mlp",)
    assert inputs.mask.source == "early v1"
    other = store.save_mask("theirs", "another", mask)
    with pytest.raises(UserError, match="belongs to model 'another', not 'demo'"):
        prepare({**EDIT, "mask": {"id": other.id}}, tmp_path / "out", [])


def test_without_a_database_nothing_is_made_and_the_cure_is_named(
    data: Path, tmp_path: Path
) -> None:
    for spec in (SPEC, {**EDIT, "facts": {"set": "athletes"}, "mask": {"id": "12ab"}}):
        with pytest.raises(UserError, match="holds no server's database; set LETHE_DATA"):
            prepare(spec, tmp_path / "out", [])
    edited = {**SPEC, "facts": {"set": "athletes"}, "model": {"base": "demo", "edits": ["12ab"]}}
    with pytest.raises(UserError, match=r"no result.json; .* or the id of a finished run"):
        prepare(edited, tmp_path / "out", [])
    assert not data.exists()


def test_a_name_that_neither_has_lists_both(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Did you mean 'mine'\? .*athletes, .*mine, .*asked too"):
        prepare({**SPEC, "facts": {"set": "mone"}}, tmp_path / "out", [])
    with pytest.raises(UserError, match="'12ab'"):
        prepare({**EDIT, "mask": {"id": "12ab"}}, tmp_path / "out", [])


def test_a_finished_run_of_the_server_is_named_by_its_id(store: Store, tmp_path: Path) -> None:
    axis = Axis(name="component", labels=("blocks.0.mlp", "blocks.2.mlp"))
    provenance = Provenance(
        model="demo", weights_hash="", seed=0, device="cpu", dtype="float32", versions={}
    )
    result = Result(
        kind="localize", spec=SPEC, provenance=provenance, seconds=1, peak_memory_bytes=1,
        arrays={"components": ArrayInfo(file="arrays.npz", axes=(axis,), unit="")},
    )  # fmt: skip
    np.savez(tmp_path / "arrays.npz", components=np.array([0.1, 0.7]))
    store.artifacts.put("runs/12ab/arrays.npz", tmp_path / "arrays.npz")
    store.artifacts.put_bytes("runs/12ab/result.json", result.model_dump_json().encode())
    mask = {"localization": "12ab", "rule": {"top": 1}}
    _, inputs = prepare({**EDIT, "mask": mask}, tmp_path / "out", [])
    assert inputs.mask is not None and inputs.mask.components == ("blocks.2.mlp",)
