"""A stored run goes into a bundle and comes out on another server, with all that it names."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worker.engine.test_resolve import MENU
from tests.worker.store.test_runs import add, claim
from worker.contract.bundle import Edit, open_bundle, write_bundle
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import StackedEdit
from worker.contract.mask import Mask
from worker.contract.result import ArrayInfo, Axis, Provenance, Receipt, Result
from worker.contract.settings import Settings
from worker.contract.spec import Spec, parse_spec
from worker.engine import bundle as _bundle
from worker.engine.bundle import bundle_run, import_bundle, size_of_bundle
from worker.store.store import Store

GB = 2**30
FACTS = FactSet(
    name="sports",
    facts=tuple(Fact(id=f"f{i}", subject="S", prompt="{} plays", target="golf") for i in range(3)),
    splits={"half": ("f0",)},
)
TALE = " ".join(["Zoë went home."] * 8)
MASK = Mask(components=("blocks.0.mlp",), n_parameters=10)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    yield from opened(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Store]:
    yield from opened(tmp_path / "there")


def opened(folder: Path) -> Iterator[Store]:
    store = Store.open(Settings(data=folder))
    claim(store)
    store.announce("w1", "g1", MENU)
    yield store
    store.close()


def spec(kind: str = "localize", **more: Any) -> Spec:
    data: dict[str, Any] = {"kind": kind, "facts": {"set": "sports", "forget": "first:1"}}
    if kind == "localize":
        data["method"] = "fake"
    return parse_spec(data | more)


def made(kind: str, facts: FactSet | None = FACTS, **more: Any) -> Result:
    provenance = Provenance(
        model="demo",
        weights_hash="0",
        fact_set_hash=facts.hash if facts else None,
        seed=0,
        device="cpu",
        dtype="",
        versions={},
    )
    summary = {"a": 0.5}
    return Result(
        kind=kind,
        spec={},
        provenance=provenance,
        seconds=1,
        peak_memory_bytes=1,
        summary=summary,
        **more,
    )


def finished(store: Store, one: Spec, result: Result, **files: bytes) -> str:
    run_id = add(store, one, title="A title", parents=one.edits)
    attempt = store.begin_attempt(run_id, "w1", "g1")
    assert attempt is not None
    for name, data in files.items():
        store.artifacts.put_bytes(f"runs/{run_id}/{name.replace('_', '.')}", data)
    store.finish(run_id, attempt.number, "done", result=result)
    return run_id


def localized(store: Store, facts: FactSet = FACTS) -> str:
    """A finished localization with one array of three numbers."""
    store.save_fact_set(facts)
    file = io.BytesIO()
    np.savez(file, scores=np.arange(3.0))
    info = ArrayInfo(file="arrays.npz", axes=(Axis(name="component"),), unit="")
    result = made("localize", facts, arrays={"scores": info})
    return finished(store, spec(), result, arrays_npz=file.getvalue())


def receipt(mark: str) -> Receipt:
    return Receipt(
        tensors=(),
        n_parameters=10,
        n_changed=1,
        hash_before="a" * 64,
        hash_after=mark * 64,
        outside_unchanged=True,
        n_outside_checked=5,
        base_restored=True,
    )


def edited(store: Store, mark: str = "b", below: tuple[str, ...] = (), **more: Any) -> str:
    """A finished edit, whose mask is the one component."""
    store.save_fact_set(FACTS)
    model = {"base": "demo", "edits": list(below)} if below else "demo"
    mask = {"components": ["blocks.0.mlp"]}
    one = spec("unlearn", mask=more.pop("mask", mask), model=model, method="fake", **more)
    files = {"delta": "delta.safetensors"}
    result = made("unlearn", files=files, mask=MASK, receipt=receipt(mark))
    return finished(store, one, result, delta_safetensors=b"delta " + mark.encode())


def evaluated(store: Store, *edits: str) -> str:
    """A finished evaluation of edits."""
    store.save_fact_set(FACTS)
    model = {"base": "demo", "edits": list(edits)} if edits else "demo"
    return finished(store, spec("evaluate", model=model, evaluations=["probes"]), made("evaluate"))


def packed(store: Store, run_id: str, folder: Path) -> Path:
    path = folder / f"{run_id}.zip"
    with path.open("wb") as file:
        bundle_run(run_id, store, file)
    return path


def moved(here: Store, there: Store, run_id: str, folder: Path, owner: str = "") -> str:
    return import_bundle(packed(here, run_id, folder), there, GB, owner)


def test_a_run_comes_back_finished_with_its_numbers_files_and_a_tag(
    here: Store, there: Store, tmp_path: Path
) -> None:
    run_id = localized(here)
    own = there.run(moved(here, there, run_id, tmp_path, owner="ann"))
    assert (own.state, own.kind, own.owner, own.tags) == ("done", "localize", "ann", ("imported",))
    assert own.has_result and own.started is not None and own.finished is not None
    assert own.message == "Brought in a bundle." and own.title != ""
    assert there.result(own.id) == here.result(run_id)
    name = "runs/{}/arrays.npz"
    assert np.array_equal(
        np.load(there.artifacts.local(name.format(own.id)))["scores"], [0.0, 1.0, 2.0]
    )
    assert there.fact_set("sports").hash == FACTS.hash
    assert moved(here, there, run_id, tmp_path) != own.id


def test_a_bundles_size_is_that_of_its_files_and_of_the_edits_under_it(
    here: Store, tmp_path: Path
) -> None:
    run_id = localized(here)
    size = here.artifacts.size(f"runs/{run_id}/arrays.npz")
    assert size_of_bundle(run_id, here) == size > 0
    first = edited(here)
    assert size_of_bundle(first, here) == 7
    second = edited(here, "c", (first,))
    assert size_of_bundle(evaluated(here, first, second), here) == 14


def test_a_run_without_a_result_is_refused_by_its_state(here: Store, tmp_path: Path) -> None:
    waiting = add(here)
    with pytest.raises(UserError, match=f"'{waiting}' is queued and has no result to bundle"):
        packed(here, waiting, tmp_path)
    with pytest.raises(UserError, match="has no result to bundle"):
        size_of_bundle(waiting, here)


def test_a_run_whose_facts_have_changed_since_is_refused(here: Store, tmp_path: Path) -> None:
    run_id = localized(here)
    changed = FACTS.model_copy(update={"facts": FACTS.facts[:2]})
    here.delete_fact_set("sports")
    here.save_fact_set(changed)
    with pytest.raises(UserError, match="'sports' has changed since the run") as refused:
        packed(here, run_id, tmp_path)
    assert changed.hash[:12] in refused.value.message and FACTS.hash[:12] in refused.value.message


def test_nothing_is_bundled_before_a_worker_has_announced(tmp_path: Path) -> None:
    store = Store.open(Settings(data=tmp_path / "alone"))
    try:
        claim(store)
        run_id = localized(store)
        with pytest.raises(UserError, match="The worker is starting"):
            packed(store, run_id, tmp_path)
    finally:
        store.close()


def test_edits_come_along_in_their_order_and_once(
    here: Store, there: Store, tmp_path: Path
) -> None:
    first = edited(here)
    second = edited(here, "c", (first,))
    probed = there.run(moved(here, there, evaluated(here, first, second), tmp_path))
    lower, upper = probed.spec["model"]["edits"]
    assert probed.parents == (lower, upper)
    deltas = [f"runs/{id}/delta.safetensors" for id in (lower, upper)]
    assert [there.artifacts.local(name).read_bytes() for name in deltas] == [b"delta b", b"delta c"]
    assert there.run(lower).spec["model"] == "demo"
    assert there.run(upper).spec["model"] == {"base": "demo", "edits": [lower]}
    assert there.run(lower).title == "A title" and there.run(lower).tags == ("imported",)
    kept = there.result(lower)
    assert kept is not None and kept.receipt == receipt("b")
    assert kept.files == {"delta": "delta.safetensors"} and kept.kind == "unlearn"
    back = here.run(moved(here, here, evaluated(here, first, second), tmp_path))
    assert back.spec["model"]["edits"] == [first, second], "they are here already"


def test_an_edits_mask_is_named_by_its_components_also_where_its_source_is_gone(
    here: Store, there: Store, tmp_path: Path
) -> None:
    run_id = edited(here, mask={"localization": "gone", "rule": {"top": 1}})
    own = there.run(moved(here, there, run_id, tmp_path))
    assert own.spec["mask"]["components"] == ["blocks.0.mlp"]
    lost = finished(
        here,
        spec("unlearn", mask={"localization": "gone", "rule": {"top": 1}}, method="fake"),
        made("unlearn"),
    )
    with pytest.raises(NotFound):
        packed(here, lost, tmp_path)


def test_facts_take_the_name_that_their_content_has_there(
    here: Store, there: Store, tmp_path: Path
) -> None:
    run_id = localized(here)
    there.save_fact_set(FACTS.model_copy(update={"name": "mine", "splits": {}}))
    own = there.run(moved(here, there, run_id, tmp_path))
    assert own.spec["facts"]["set"] == "mine"
    assert there.fact_set("mine").splits == {"half": ("f0",)}
    there.save_fact_set(FACTS)
    assert there.run(moved(here, there, run_id, tmp_path)).spec["facts"]["set"] == "sports"


def test_facts_whose_name_is_taken_by_others_come_under_a_name_with_their_hash(
    here: Store, there: Store, tmp_path: Path
) -> None:
    there.save_fact_set(FACTS.model_copy(update={"facts": FACTS.facts[:1]}))
    own = there.run(moved(here, there, localized(here), tmp_path))
    assert own.spec["facts"]["set"] == f"sports {FACTS.hash[:8]}"
    assert there.fact_set(f"sports {FACTS.hash[:8]}").hash == FACTS.hash
    assert len(there.fact_set("sports").facts) == 1


def with_text(store: Store, name: str = "tale") -> str:
    store.save_text(name, TALE)
    return edited(store, options={"text": name})


def test_a_text_takes_the_name_that_its_content_has_there(
    here: Store, there: Store, tmp_path: Path
) -> None:
    run_id = with_text(here)

    def brought() -> str:
        return str(there.run(moved(here, there, run_id, tmp_path)).spec["options"]["text"])

    assert brought() == "tale" and there.text("tale") == TALE
    assert brought() == "tale" and len(there.texts()) == 1
    there.delete_text("tale")
    there.save_text("other name", TALE)
    assert brought() == "other name"
    there.delete_text("other name")
    there.save_text("tale", "Another.")
    new = brought()
    assert new.startswith("tale ") and len(new) == 13 and there.text(new) == TALE


def rewritten(path: Path, to: Path, **update: Any) -> Path:
    """The bundle with other inputs, spec, edits or result."""
    found = open_bundle(path, to.parent / f"{to.stem}.in", GB)
    recorded = to.parent / f"{to.stem}.json"
    recorded.write_text(update.get("result", found.result).model_dump_json(), encoding="utf-8")
    files = {"result.json": recorded} | {n: Path(p) for n, p in found.files.items()}
    inputs = found.inputs.model_copy(update=update.get("inputs", {}))
    with to.open("wb") as file:
        one = update.get("spec", found.spec)
        write_bundle(file, to.name, one, inputs, files, update.get("edits", found.edits))
    return to


def refused(store: Store, path: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as error:
        import_bundle(path, store, GB)
    assert error.value.problems[0][0] == "bundle"
    assert store.count_runs() == 0 and store.fact_sets() == [], "nothing of it is kept"


def test_a_bundle_that_lacks_what_its_run_needs_is_refused_and_nothing_is_kept(
    here: Store, there: Store, tmp_path: Path
) -> None:
    path = packed(here, evaluated(here, edited(here)), tmp_path)
    found = open_bundle(path, tmp_path / "found", GB)
    [edit] = found.edits
    new = tmp_path / "new.zip"
    refused(there, rewritten(path, new, edits=()), "names 1 edits and holds 1 deltas of 0 runs")
    refused(
        there, rewritten(path, new, inputs={"deltas": ()}), "holds 0 deltas of 1 runs; expected"
    )
    unmade = edit.model_copy(update={"result": edit.result.model_copy(update={"receipt": None})})
    refused(there, rewritten(path, new, edits=(unmade,)), "made no edit")
    other = Edit(**{**edit.model_dump(), "spec": spec().model_dump(mode="json")})
    refused(there, rewritten(path, new, edits=(other,)), "made no edit")
    stacked = {"stacked": {"x": StackedEdit(deltas=found.inputs.deltas)}}
    refused(there, rewritten(path, new, inputs=stacked), "reads other edits that its options name")
    wrong = found.result.model_copy(update={"kind": "localize"})
    refused(there, rewritten(path, new, result=wrong), "'evaluate', its result of kind 'localize'")
    refused(there, rewritten(path, new, inputs={"fact_set": None}), "holds no facts")


def test_arrays_that_are_not_what_the_result_says_are_refused(
    here: Store, there: Store, tmp_path: Path
) -> None:
    path = packed(here, localized(here), tmp_path)
    found = open_bundle(path, tmp_path / "found", GB)
    absent = {"absent": found.result.arrays["scores"]}
    result = found.result.model_copy(update={"arrays": absent})
    with pytest.raises(UserError, match="absent"):
        import_bundle(rewritten(path, tmp_path / "new.zip", result=result), there, GB)
    assert there.count_runs() == 0


def test_a_text_that_the_options_do_not_name_is_refused(
    here: Store, there: Store, tmp_path: Path
) -> None:
    path = packed(here, with_text(here), tmp_path)
    found = open_bundle(path, tmp_path / "found", GB)
    texts = {"texts": {**found.inputs.texts, "second": found.inputs.texts["tale"]}}
    refused(there, rewritten(path, tmp_path / "a.zip", inputs=texts), "holds 2 texts")
    texts = {"texts": {"second": found.inputs.texts["tale"]}}
    refused(there, rewritten(path, tmp_path / "b.zip", inputs=texts), "'tale'; expected that text")


def test_a_view_has_no_facts_and_needs_none(here: Store, there: Store, tmp_path: Path) -> None:
    view = parse_spec({"kind": "explore", "view": "predictions", "options": {"prompt": "A"}})
    run_id = finished(here, view, made("explore", None))
    assert there.run(moved(here, there, run_id, tmp_path)).kind == "explore"
    assert there.fact_sets() == []


def test_a_bundle_larger_than_is_allowed_is_refused(here: Store, tmp_path: Path) -> None:
    path = packed(here, localized(here), tmp_path)
    with pytest.raises(UserError, match="expected at most"):
        import_bundle(path, here, 10)


@pytest.mark.parametrize(
    ("brought", "name"),
    [
        ("/data/mine/sports", "sports"),
        ("C:\\mine\\sports", "sports"),
        ("mine/..", "brought"),
        ("mine/", "brought"),
        ("mine/" + "x" * 90, "x" * 80),
    ],
)
def test_facts_and_texts_that_were_named_by_a_path_take_its_last_part(
    there: Store, brought: str, name: str
) -> None:
    facts = FACTS.model_copy(update={"name": brought})
    assert _bundle._bring_facts(facts, there, "ann") == name
    assert there.fact_set(name).hash == FACTS.hash
    assert _bundle._bring_text(brought, TALE, there, "ann") == name
    assert there.text(name) == TALE


def test_an_export_comes_without_the_names_of_evaluations_that_are_elsewhere(
    here: Store, there: Store, tmp_path: Path
) -> None:
    edit = edited(here)
    results = [evaluated(here, edit)]
    export = parse_spec(
        {"kind": "export", "model": {"base": "demo", "edits": [edit]}, "results": results}
    )
    run_id = finished(here, export, made("export", None))
    own = there.run(moved(here, there, run_id, tmp_path))
    assert own.kind == "export" and own.spec["results"] == []
    assert there.run(own.spec["model"]["edits"][0]).kind == "unlearn"
