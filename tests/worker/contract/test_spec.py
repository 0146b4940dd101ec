import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.contract.errors import UserError
from worker.contract.spec import SPECS, UnlearnSpec, parse_spec

LOCALIZE = {"kind": "localize", "facts": {"set": "athletes"}, "method": "causal_tracing"}
UNLEARN = {
    "kind": "unlearn",
    "facts": {"set": "athletes"},
    "mask": {"components": ["blocks.1.mlp"]},
}


def test_defaults_are_filled_in() -> None:
    spec = parse_spec(UNLEARN)
    assert isinstance(spec, UnlearnSpec)
    assert (spec.base, spec.edits, spec.seed) == ("demo", (), 0)
    assert spec.method == "localized_finetuning"


def test_an_edited_model_has_a_base_and_edits() -> None:
    spec = parse_spec({**LOCALIZE, "model": {"base": "demo", "edits": ["a", "b"]}})
    assert (spec.base, spec.edits) == ("demo", ("a", "b"))


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ([], "spec", "one JSON object"),
        ({**LOCALIZE, "kind": "localise"}, "kind", "Did you mean 'localize'"),
        ({**LOCALIZE, "metod": 1}, "metod", "Did you mean 'method'"),
        ({**LOCALIZE, "seed": -1}, "seed", "greater than or equal to 0"),
        ({"kind": "localize", "method": "x"}, "facts", "missing"),
        ({**UNLEARN, "mask": {"components": []}}, "mask", "no component"),
        ({**UNLEARN, "mask": {}}, "mask", "exactly one"),
        ({**UNLEARN, "mask": {"components": ["mlp3"]}}, "mask.components", "blocks.LAYER.mlp"),
        ({**UNLEARN, "mask": {"localization": "x"}}, "mask", "belong together"),
    ],
)
def test_a_wrong_spec_names_its_field_and_what_was_expected(
    data: object, field: str, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        parse_spec(data)
    fields = [f for f, sentence in caught.value.problems if words in sentence]
    assert fields == [field], caught.value.problems


EDITED = {"model": {"base": "demo", "edits": ["a"]}}
STUDY = {
    "kind": "study",
    "facts": {"set": "athletes"},
    "masks": {"all": {"title": "All", "control": "all"}},
    "methods": {"ft": {"title": "FT"}},
}
SMALL = {
    "localize": LOCALIZE,
    "unlearn": UNLEARN,
    "evaluate": {"kind": "evaluate", "facts": {"set": "athletes"}},
    "explore": {"kind": "explore", "view": "lens"},
    "study": STUDY,
    "export": {"kind": "export", **EDITED},
    "add": {"kind": "add", "model": "smollm2"},
}


@pytest.mark.parametrize("kind", SPECS)
def test_every_kind_comes_back_as_it_was_written_and_knows_itself(kind: str) -> None:
    spec = parse_spec(SMALL[kind])
    assert type(spec) is SPECS[kind]
    assert type(spec)(**{k: v for k, v in SMALL[kind].items() if k != "kind"}) == spec
    assert parse_spec(spec.model_dump(mode="json")) == spec


def test_what_is_left_out_is_the_usual() -> None:
    said = {kind: parse_spec(data).model_dump() for kind, data in SMALL.items()}
    usual = {
        "localize": {"options": {}},
        "unlearn": {"options": {}, "method": "localized_finetuning"},
        "evaluate": {"evaluations": ("probes",), "options": {}, "mask": None},
        "explore": {"options": {}},
        "study": {
            "seeds": (0, 1, 2, 3, 4),
            "evaluations": ("probes",),
            "options": {},
            "budget": None,
            "reference": None,
            "score": None,
        },
        "export": {"results": ()},
        "add": {},
    }
    for kind, said_of in SMALL.items():
        every = usual[kind] | {"seed": 0} | ({} if "model" in said_of else {"model": "demo"})
        assert {k: v for k, v in said[kind].items() if k not in said_of} == every, kind


def test_eight_bits_are_for_a_localization_of_a_base_alone() -> None:
    spec = parse_spec({**LOCALIZE, "load_in": "8bit", "dtype": "bfloat16"})
    assert spec.model_dump(mode="json")["load_in"] == "8bit"
    assert spec.model_dump(mode="json")["dtype"] == "bfloat16"
    bare = {**LOCALIZE, "model": {"base": "demo"}, "load_in": "8bit"}
    assert parse_spec(bare).edits == ()
    assert parse_spec({**LOCALIZE, **EDITED}).edits == ("a",)
    assert parse_spec({**UNLEARN, "load_in": None}).load_in is None
    for wrong, words in (
        ({**UNLEARN, "load_in": "8bit"}, "only a localization"),
        ({**LOCALIZE, **EDITED, "load_in": "8bit"}, "the model has edits"),
    ):
        with pytest.raises(UserError, match=words):
            parse_spec(wrong)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"budget": "none"}, "budget is 'none', which is no mask of this study; expected one of"),
        ({"reference": "none"}, "reference is 'none', which is no mask"),
        ({"methods": {"ft": {"title": "FT", "search": {"a": [1]}}}}, "expected score"),
        ({"seeds": [1, 2, 1]}, "seeds occur twice"),
        ({"seeds": []}, "at least 1"),
        ({"masks": {}}, "at least 1"),
        ({"methods": {}}, "at least 1"),
    ],
)
def test_a_study_names_its_own_masks_and_says_how_it_searches(
    fields: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        parse_spec({**STUDY, **fields})
    sound = {**STUDY, "budget": "all", "reference": "all", "score": {"names": ["edit"]}}
    assert parse_spec({**sound, "methods": {"ft": {"title": "F", "search": {"a": [1]}}}})


def test_an_export_has_an_edit_and_a_seed_is_a_number_that_every_generator_takes() -> None:
    with pytest.raises(UserError, match="expected at least one edit"):
        parse_spec({"kind": "export"})
    assert parse_spec({**LOCALIZE, "seed": 2**31 - 1}).seed == 2**31 - 1
    with pytest.raises(UserError, match="less than or equal to 2147483647"):
        parse_spec({**LOCALIZE, "seed": 2**31})
    for wrong in (None, 3, ["localize"]):
        with pytest.raises(UserError, match="No kind of run") as caught:
            parse_spec({"kind": wrong})
        assert caught.value.problems[0][0] == "kind"


ODD = [None, True, 0, -1, 1.5, 2**40, "", "x", "8bit", "float16", [], ["x"], [0, 0], {}, {"x": {}}]
ODD += [{"set": "x"}, {"base": "x"}, {"components": ["blocks.0.mlp"]}, [[]], "\ud800", "a" * 10_000]


@pytest.mark.parametrize("kind", SPECS)
@given(data=st.data())
@settings(derandomize=True, max_examples=25)
def test_a_field_of_whatever_kind_is_taken_and_written_back_or_refused_by_its_name(
    kind: str, data: st.DataObject
) -> None:
    fields = [name for name in SPECS[kind].model_fields if name != "kind"]
    field = data.draw(st.sampled_from([*fields, "stray"]))
    try:
        spec = parse_spec(SMALL[kind] | {field: data.draw(st.sampled_from(ODD))})
    except UserError as refused:
        assert refused.problems and all(sentence for _, sentence in refused.problems)
        return
    again = json.loads(json.dumps(spec.model_dump(mode="json")))
    assert parse_spec(again) == spec and type(spec) is SPECS[kind]


@pytest.mark.parametrize("data", ODD)
def test_what_is_no_spec_is_refused_in_words(data: object) -> None:
    with pytest.raises(UserError):
        parse_spec(data)


@given(st.integers(-(2**33), 2**33))
@settings(derandomize=True, max_examples=30)
def test_a_seed_is_what_every_generator_takes(seed: int) -> None:
    if 0 <= seed < 2**31:
        assert parse_spec(LOCALIZE | {"seed": seed}).seed == seed
    else:
        with pytest.raises(UserError, match="seed"):
            parse_spec(LOCALIZE | {"seed": seed})
