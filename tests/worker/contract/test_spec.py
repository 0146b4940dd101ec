import pytest

from worker.contract.errors import UserError
from worker.contract.spec import UnlearnSpec, parse_spec

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
