"""What a spec's facts and texts stand for in the store."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.contract.errors import NotFound, UserError
from worker.contract.mask import Mask
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.pace import Pace
from worker.contract.recalled import columns
from worker.contract.result import (
    ArrayInfo,
    Attribution,
    Axis,
    Evaluation,
    Provenance,
    Result,
    Table,
)
from worker.contract.spec import Spec, parse_spec
from worker.contract.texts import BUNDLED
from worker.engine.resolve import model_info, paces_of, resolve
from worker.store.paces import remember_paces
from worker.store.runs import insert_run
from worker.store.store import Store

SIZES = {"blocks.0.mlp": 10, "blocks.1.mlp": 20}
MENU = Announcement(
    methods=(),
    models=(
        ModelInfo(id="demo", title="Demo", component_parameters=SIZES, weights_hash="w"),
        ModelInfo(id="other", title="Other", component_parameters=SIZES, weights_hash="v"),
    ),
    fact_sets=(),
    device="cpu",
    device_name="a cpu",
)
SAID = {"metric": "", "direction": "", "unit": ""}


def spec(forget: str = "first:3", edit_to: str = "", **options: object) -> Spec:
    return parse_spec(
        {
            "kind": "unlearn",
            "facts": {"set": "sports", "forget": forget, "edit_to": edit_to},
            "mask": {"components": ["blocks.0.mlp"]},
            "method": "whos_harry_potter",
            "options": options,
        }
    )


def like(asked: Spec, **fields: object) -> Spec:
    """The same spec with other fields."""
    return parse_spec({**asked.model_dump(mode="json"), **fields})


def evaluation(**fields: object) -> Spec:
    facts = {"set": "sports", "forget": "first:3"}
    return parse_spec({"kind": "evaluate", "facts": facts, "evaluations": ["probes"], **fields})


def result(model: str = "demo", weights: str = "w", set_hash: str = "", **fields: Any) -> Result:
    made = Provenance(
        model=model, weights_hash=weights, seed=0, device="cpu", dtype="", versions={},
        fact_set_hash=set_hash,
    )  # fmt: skip
    values = {"kind": "unlearn", "spec": {}, "seconds": 1.0, "peak_memory_bytes": 1, **fields}
    return Result(provenance=made, **values)


def queued(store: Store, asked: Spec) -> str:
    with store.database.write() as session:
        return insert_run(session, asked, owner="", title="", tags=(), parents=(), priority=1)


def finished(store: Store, asked: Spec, found: Result | None, state: Any = "done") -> str:
    """A run that a worker computed, with the file that its delta lies in."""
    run_id = queued(store, asked)
    store.claim_worker("w1", "g1", {}, "cpu", 1e9, lambda holder: True)
    attempt = store.begin_attempt(run_id, "w1", "g1")
    assert attempt is not None
    store.artifacts.put_bytes(f"runs/{run_id}/d.safetensors", b"delta")
    store.finish(run_id, attempt.number, state, result=found)
    return run_id


def localized(store: Store, scores: dict[str, float] | None, **fields: Any) -> str:
    """A finished localization with these scores, or without any."""
    asked = parse_spec({"kind": "localize", "facts": {"set": "sports"}, "method": "m"})
    axis = Axis(name="component", labels=tuple(scores or ()))
    arrays = {"components": ArrayInfo(file="a.npz", axes=(axis,), unit="p")} if scores else {}
    run_id = finished(store, asked, result(kind="localize", arrays=arrays, **fields))
    body = io.BytesIO()
    np.savez(body, components=np.array(list((scores or {}).values())))
    store.artifacts.put_bytes(f"runs/{run_id}/a.npz", body.getvalue())
    return run_id


def field_of(caught: pytest.ExceptionInfo[UserError]) -> str:
    return caught.value.problems[0][0]


def test_a_stored_text_is_given_by_its_local_path(store: Store) -> None:
    store.save_text("my saga", "Zoë went home.")
    found = resolve(spec(text="my saga"), store, MENU, "")
    assert list(found.texts) == ["my saga"]
    assert Path(found.texts["my saga"]).read_text(encoding="utf-8") == "Zoë went home."
    assert resolve(spec(text="saga"), store, MENU, "").texts == {}
    assert resolve(spec(), store, MENU, "").texts == {}
    with pytest.raises(NotFound, match=r"No text 'my sage'\. Did you mean 'my saga'"):
        resolve(spec(text="my sage"), store, MENU, "")


def test_a_whole_group_is_given_another_answer(store: Store) -> None:
    found = resolve(spec("group:tennis", "golf"), store, MENU, "").fact_set
    assert found is not None
    assert [fact.edit_target for fact in found.facts] == ["", "golf", "golf"]
    with pytest.raises(UserError, match="'golf' already"):
        resolve(spec("first:3", "golf"), store, MENU, "")


def test_an_edits_delta_is_given_by_its_path_with_the_facts_that_it_changed(store: Store) -> None:
    edit = finished(store, spec("first:2"), result(files={"delta": "d.safetensors"}))
    asked = evaluation(model={"base": "demo", "edits": [edit]})
    found = resolve(asked, store, MENU, "/out")
    assert (found.out, found.results, found.texts, found.mask) == ("/out", (), {}, None)
    assert found.deltas == (str(store.artifacts.local(f"runs/{edit}/d.safetensors")),)
    assert [fact.id for facts in found.edited for fact in facts] == ["f0", "f1"]
    held = resolve(
        asked, store, MENU, "", store.artifacts.local(f"runs/{edit}/d.safetensors").parent
    )
    assert held.deltas == found.deltas, "a local file stays by itself"


@pytest.mark.parametrize("kind", ["queued", "no result", "no delta", "failed", "another model"])
def test_what_gives_no_edit_of_this_model_is_refused(store: Store, kind: str) -> None:
    asked, files = spec(), {"delta": "d.safetensors"}
    edit = {
        "queued": lambda: queued(store, asked),
        "no result": lambda: finished(store, asked, None),
        "no delta": lambda: finished(store, asked, result()),
        "failed": lambda: finished(store, asked, result(files=files), "failed"),
        "another model": lambda: finished(store, asked, result("other", files=files)),
    }[kind]()
    with pytest.raises(
        UserError, match=f"'{edit}' (is .* gives no edit|was made on 'other')"
    ) as no:
        resolve(evaluation(model={"base": "demo", "edits": [edit]}), store, MENU, "")
    assert field_of(no) == "model.edits"


def test_an_export_takes_the_results_of_its_edits_and_of_what_it_names(store: Store) -> None:
    edit = finished(store, spec(), result(files={"delta": "d.safetensors"}))
    measured = finished(store, evaluation(), result(kind="evaluate"))
    model = {"base": "demo", "edits": [edit]}
    asked = parse_spec({"kind": "export", "model": model, "results": [measured]})
    found = resolve(asked, store, MENU, "")
    assert [one.kind for one in found.results] == ["unlearn", "evaluate"]
    assert found.fact_set is None and found.recalled == {}
    waiting = queued(store, evaluation())
    with pytest.raises(UserError, match=f"'{waiting}' is queued and has no result") as caught:
        resolve(like(asked, results=[waiting]), store, MENU, "")
    assert field_of(caught) == "results"


def test_a_stored_mask_is_its_models_own(store: Store) -> None:
    mine = store.save_mask("mine", "demo", Mask(components=("blocks.1.mlp",)), localization=None)
    found = resolve(like(spec(), mask={"id": mine.id}), store, MENU, "").mask
    assert found == Mask(components=("blocks.1.mlp",), n_parameters=20, source="mine v1")
    with pytest.raises(UserError, match="'mine' belongs to model 'demo', not 'other'") as caught:
        resolve(like(spec(), model="other", mask={"id": mine.id}), store, MENU, "")
    assert field_of(caught) == "mask.id"


def test_a_mask_is_chosen_from_a_localizations_scores_or_by_its_own_choice(store: Store) -> None:
    own = Attribution(method="m", **SAID, suggested=Mask(components=("blocks.0.mlp",)))
    run_id = localized(store, {"blocks.0.mlp": 1.0, "blocks.1.mlp": -2.0}, attribution=own)
    by_score = {"localization": run_id, "rule": {"top": 1}}
    found = resolve(like(spec(), mask=by_score), store, MENU, "")
    assert found.scores == {}, "an edit chooses by them and is not measured against them"
    assert found.mask == Mask(
        components=("blocks.1.mlp",), n_parameters=20, source=f"{{'top': 1}} of run {run_id}"
    )
    suggested = {"localization": run_id, "rule": {"suggested": True}}
    mask = resolve(like(spec(), mask=suggested), store, MENU, "").mask
    assert mask == Mask(
        components=("blocks.0.mlp",),
        n_parameters=10,
        source=f"the method's own choice in run {run_id}",
    )
    with pytest.raises(UserError, match="was made on 'demo', not 'other'") as caught:
        resolve(like(spec(), model="other", mask=by_score), store, MENU, "")
    assert field_of(caught) == "mask.localization"


def test_a_localization_without_scores_says_why(store: Store) -> None:
    unsure = Attribution(method="m", **SAID, no_choice="It was only noise.")
    for run_id, words in (
        (localized(store, None), "gives them.$"),
        (localized(store, None, attribution=unsure), "gives them. It was only noise.$"),
        (queued(store, evaluation()), "gives them.$"),
    ):
        with pytest.raises(UserError, match=f"'{run_id}' has no component scores.*{words}") as no:
            resolve(
                like(spec(), mask={"localization": run_id, "rule": {"top": 1}}), store, MENU, ""
            )
        assert field_of(no) == "mask.localization"
        with pytest.raises(UserError, match="suggests no components"):
            mask = {"localization": run_id, "rule": {"suggested": True}}
            resolve(like(spec(), mask=mask), store, MENU, "")


def test_a_control_and_named_components_need_no_run(store: Store) -> None:
    everything = resolve(like(spec(), mask={"control": {"kind": "all"}}), store, MENU, "").mask
    assert everything is not None and everything.n_parameters == 30
    one = {"control": {"kind": "random", "parameters": 5}}
    drawn = {
        resolve(like(spec(), mask=one, seed=seed), store, MENU, "").mask.components  # type: ignore[union-attr]
        for seed in range(20)
    }
    assert drawn == {("blocks.0.mlp",), ("blocks.1.mlp",)}, "by the spec's seed"
    by_hand = resolve(spec(), store, MENU, "").mask
    assert by_hand == Mask(components=("blocks.0.mlp",), n_parameters=10, source="chosen by hand")


def test_an_evaluated_mask_brings_the_scores_that_it_was_chosen_by(store: Store) -> None:
    scores = {"blocks.0.mlp": 0.5, "blocks.1.mlp": 2.0}
    run_id = localized(store, scores)
    bare = localized(store, None)
    by_score = {"localization": run_id, "rule": {"top": 1}}
    found = resolve(evaluation(mask=by_score), store, MENU, "")
    assert found.scores == scores
    assert found.mask is not None and found.mask.components == ("blocks.1.mlp",)
    mask = Mask(components=("blocks.0.mlp",))
    kept = [
        store.save_mask(f"m {of}", "demo", mask, localization=of) for of in (run_id, bare, None)
    ]
    expected: list[dict[str, float]] = [scores, {}, {}]
    for record, wanted in zip(kept, expected, strict=True):
        assert resolve(evaluation(mask={"id": record.id}), store, MENU, "").scores == wanted
    store.delete_run(run_id)
    assert resolve(evaluation(mask={"id": kept[0].id}), store, MENU, "").scores == {}
    assert resolve(evaluation(), store, MENU, "").scores == {}


def test_a_model_that_nobody_has_is_named_with_those_that_there_are() -> None:
    assert model_info("other", MENU).title == "Other"
    with pytest.raises(UserError, match=r"No model 'x'\. There are: demo, other\.") as caught:
        model_info("x", MENU)
    assert field_of(caught) == "model"
    with pytest.raises(UserError, match="There are: none"):
        model_info("x", MENU.model_copy(update={"models": ()}))


def test_paces_are_those_of_the_specs_own_parts_on_this_device(store: Store) -> None:
    with store.database.write() as session:
        for work, device, seen in (
            ("unlearning whos_harry_potter", "a cpu", 3.0),
            ("unlearning whos_harry_potter", "a gpu", 9.0),
        ):
            pace = Pace(work=work, device=device, told=1.0, seen=seen)
            remember_paces(session, device, "demo", [pace])
    found = paces_of(spec(), store, MENU)
    assert found["unlearning whos_harry_potter"] == pytest.approx(3.0)
    assert paces_of(parse_spec({"kind": "add", "model": "x"}), store, MENU) == {}


RECALLED = {"probability": 0.75, "rank": 1, "share": 0.5, "place": 1, "says": "tennis"}


def measured(store: Store, weights: str = "w", set_hash: str | None = None) -> str:
    """A finished measurement of what the model knows, remembered as of the weights `w`."""
    own = store.fact_set_hash("sports")
    values = tuple(RECALLED.values())
    facts = Table(columns=("fact", *columns("none", "before")), rows=(("f1", *values),))
    told = Evaluation(name="knowledge", title="", caption="", aggregates=(), facts=facts)
    made = result("other", weights, own if set_hash is None else set_hash)
    run_id = queued(store, evaluation(evaluations=["knowledge"]))
    store.remember_knowledge(run_id, own, (), model="other", weights_hash="v")
    store.claim_worker("w1", "g1", {}, "cpu", 1e9, lambda holder: True)
    attempt = store.begin_attempt(run_id, "w1", "g1")
    assert attempt is not None
    full = made.model_copy(update={"evaluations": {"knowledge": told}})
    store.finish(run_id, attempt.number, "done", result=full)
    return run_id


def test_what_the_base_knows_is_given_where_it_was_measured_on_these_weights(store: Store) -> None:
    on_other = evaluation(model="other")
    assert resolve(on_other, store, MENU, "").recalled == {}
    measured(store, "v")
    found = resolve(on_other, store, MENU, "").recalled
    assert list(found) == ["none"] and list(found["none"]) == ["f1"]
    assert found["none"]["f1"].model_dump() == RECALLED
    assert resolve(like(spec(), model="other"), store, MENU, "").recalled == found
    facts = {"set": "sports", "known": {"probability": 0.5}}
    asked = {"kind": "localize", "model": "other", "facts": facts, "method": "m"}
    assert resolve(parse_spec(asked), store, MENU, "").recalled == found
    best = {"set": "sports", "shot": "best"}
    assert resolve(parse_spec({**asked, "facts": best}), store, MENU, "").recalled == found


def test_nobody_asks_what_is_known_where_nothing_hangs_on_it(store: Store) -> None:
    measured(store, "v")
    plain = {"kind": "localize", "model": "other", "facts": {"set": "sports"}, "method": "m"}
    assert resolve(parse_spec(plain), store, MENU, "").recalled == {}
    assert resolve(evaluation(), store, MENU, "").recalled == {}, (
        "the bundled model knows its facts"
    )
    unknown = MENU.model_copy(
        update={"models": tuple(m.model_copy(update={"weights_hash": ""}) for m in MENU.models)}
    )
    assert resolve(evaluation(model="other"), store, unknown, "").recalled == {}


@pytest.mark.parametrize("changed", [{"weights": "u"}, {"set_hash": "another"}])
def test_a_measurement_that_turned_out_to_be_of_others_is_not_used(
    store: Store, changed: dict[str, str]
) -> None:
    measured(store, **{"weights": "v", **changed})
    assert resolve(evaluation(model="other"), store, MENU, "").recalled == {}


def test_a_views_text_may_be_words_to_look_at_and_the_bundled_one_is_nobodys(store: Store) -> None:
    view = parse_spec({"kind": "explore", "view": "v", "options": {"text": "some words"}})
    assert resolve(view, store, MENU, "").texts == {}
    store.save_text("tale", "Zoë went home.")
    assert list(resolve(like(view, options={"text": "tale"}), store, MENU, "").texts) == ["tale"]
    for none in ("", BUNDLED, 3):
        assert resolve(like(view, options={"text": none}), store, MENU, "").texts == {}
