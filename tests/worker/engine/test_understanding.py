"""What a question stands for on the host of the worker that it reached."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.worker.engine.test_resolve import MENU, spec
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskFactTokens, AskPreflight, AskReadFacts, KeptElsewhere
from worker.contract.interventions import Intervention
from worker.contract.spec import EvaluateSpec, Spec, parse_spec
from worker.engine import understanding
from worker.engine.understanding import understand
from worker.store.store import Store


def upload(path: str) -> dict[str, Any]:
    return {"ask": "read_facts", "path": path, "filename": "a.csv", "reader": "tab"}


def preflight(asked: Spec, **more: Any) -> dict[str, Any]:
    inputs = {"out": "/theirs", "deltas": ["/etc/passwd"]}
    return {"ask": "preflight", "spec": asked.model_dump(mode="json"), "inputs": inputs} | more


def around(store: Store) -> Fact:
    """Save a set whose one fact has prompts around it."""
    fact = Fact(
        id="a",
        subject="A",
        prompt="{} plays",
        target="golf",
        edit_target="chess",
        group="g",
        relation="r",
        paraphrases=("What does A play?",),
        neighbourhood=("B plays",),
    )
    store.save_fact_set(FactSet(name="around", facts=(fact,)))
    return fact


def about(name: str, forget: str = "first:1") -> Spec:
    return parse_spec(
        {"kind": "evaluate", "facts": {"set": name, "forget": forget}, "evaluations": ["probes"]}
    )


@pytest.mark.parametrize("name", ["uploads/u1/file", "uploads/u-1", "uploads/a_b/c-d"])
def test_an_uploads_name_becomes_its_path_on_this_host(store: Store, name: str) -> None:
    store.artifacts.put_bytes(name, b"x")
    found = understand(upload(name), store, None)
    assert isinstance(found, AskReadFacts)
    assert Path(found.path).is_absolute() and Path(found.path).read_bytes() == b"x"
    assert (found.filename, found.reader) == ("a.csv", "tab")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "uploads",
        "uploads/",
        "uploads/../lethe.sqlite",
        "uploads/u1/../file",
        "uploads/u1/a/b",
        "runs/r1/arrays",
        "xuploads/u1/file",
        "uploads/u1/file\n",
        "uploads/u1/a.csv",
    ],
)
def test_any_other_file_of_this_host_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="no upload's name; expected one as uploads/") as refused:
        understand(upload(name), store, None)
    assert refused.value.problems[0][0] == "path"


def test_a_long_name_is_not_repeated_whole(store: Store) -> None:
    with pytest.raises(UserError) as refused:
        understand(upload("a" * 500), store, None)
    assert "a" * 80 in refused.value.message and "a" * 81 not in refused.value.message


def test_a_specs_names_are_resolved_here_and_the_senders_inputs_are_not_taken(
    store: Store,
) -> None:
    found = understand(preflight(spec()), store, MENU)
    assert isinstance(found, AskPreflight)
    assert found.inputs.fact_set is not None and found.inputs.fact_set.name == "sports"
    assert found.inputs.mask is not None
    assert (found.inputs.out, found.inputs.deltas) == ("", ())
    with pytest.raises(NotFound):
        understand(preflight(about("nowhere")), store, MENU)


def test_the_paces_of_this_host_go_with_the_question(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(understanding, "paces_of", lambda *given: {"evaluation.probes": 2.5})
    found = understand(preflight(about("sports")), store, MENU)
    assert isinstance(found, AskPreflight) and found.inputs.paces == {"evaluation.probes": 2.5}


def test_a_brief_look_leaves_out_what_is_around_facts_and_nothing_else(
    store: Store,
) -> None:
    fact = around(store)
    for brief in (False, True):
        found = understand(preflight(about("around"), brief=brief), store, MENU)
        assert isinstance(found, AskPreflight) and found.inputs.fact_set is not None
        [one] = found.inputs.fact_set.facts
        assert bool(one.paraphrases) is not brief and bool(one.neighbourhood) is not brief
        kept = ("id", "subject", "prompt", "target", "edit_target", "group", "relation", "join")
        assert [getattr(one, n) for n in kept] == [getattr(fact, n) for n in kept]


def test_a_look_ahead_is_told_what_is_kept_where_runs_are_computed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    around(store)
    kept = KeptElsewhere(keys=("one",), weights={"demo": "hash"})
    evaluation = about("around")
    assert isinstance(evaluation, EvaluateSpec)
    off = Intervention(kind="zero", site="mlp", layer=0)
    two = evaluation.model_copy(update={"interventions": (off,)})

    def facts(spec: Any, told: KeptElsewhere | None) -> int:
        found = understand(preflight(spec, brief=True), store, MENU, told)
        assert isinstance(found, AskPreflight) and found.inputs.kept == told
        assert found.inputs.fact_set is not None
        return len(found.inputs.fact_set.facts[0].paraphrases)

    assert facts(evaluation, kept) == 0, "without edits nothing is measured twice"
    assert facts(two, None) == facts(two, KeptElsewhere()) == 0
    assert facts(two, kept) > 0, "a base's measurement is named by whole facts"
    monkeypatch.setattr(understanding, "WHOLE", 0)
    assert facts(two, kept) == 0, "of very many it is not looked for"


def test_a_brief_look_at_what_has_no_facts_is_as_any_other(store: Store) -> None:
    view = {"kind": "explore", "view": "predictions", "options": {"prompt": "A"}}
    found = understand(preflight(parse_spec(view), brief=True), store, MENU)
    assert isinstance(found, AskPreflight) and found.inputs.fact_set is None


def test_of_facts_tokens_the_first_are_read_without_their_prompts(store: Store) -> None:
    around(store)
    asked = {"ask": "fact_tokens", "inputs": {"out": ""}}
    one = {**asked, "spec": about("sports").model_dump(mode="json"), "first": 2}
    found = understand(one, store, MENU)
    assert isinstance(found, AskFactTokens) and found.inputs.fact_set is not None
    assert [fact.id for fact in found.inputs.fact_set.facts] == ["f0", "f1"]
    whole = understand({**one, "first": 0}, store, MENU)
    assert isinstance(whole, AskFactTokens) and whole.inputs.fact_set is not None
    assert len(whole.inputs.fact_set.facts) == 3
    bare = understand({**one, "spec": about("around").model_dump(mode="json")}, store, MENU)
    assert isinstance(bare, AskFactTokens) and bare.inputs.fact_set is not None
    assert bare.inputs.fact_set.facts[0].paraphrases == ()


@pytest.mark.parametrize("data", [None, {}, {"ask": "nothing"}, {"ask": "preflight"}])
def test_what_is_no_question_is_refused(store: Store, data: object) -> None:
    with pytest.raises(ValidationError):
        understand(data, store, MENU)
