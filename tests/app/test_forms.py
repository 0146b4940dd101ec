from typing import Any, Literal

import pytest
from pydantic import Field
from starlette.datastructures import FormData

from app.forms import FormField, check_options, form_fields, read_options
from worker.contract.base import Options


class Nested(Options):
    depth: int = 1


class Example(Options):
    n_noises: int = Field(10, ge=1, le=100, description="Noise draws per fact.")
    scale: float = Field(3.0, gt=0)
    corruption: Literal["noise", "mean"] = "noise"
    sites: tuple[Literal["resid", "mlp"], ...] = ("resid",)
    layers: tuple[int, ...] = ()
    is_exact: bool = True
    window: int | None = Field(None, ge=1)
    note: str = Field("", max_length=5)
    nested: Nested = Nested()


SCHEMA: dict[str, Any] = Example.model_json_schema()


def by_name(fields: list[FormField]) -> dict[str, FormField]:
    return {field.name.removeprefix("options."): field for field in fields}


def test_a_form_is_made_of_the_schema() -> None:
    fields = by_name(form_fields(SCHEMA))
    noises = fields["n_noises"]
    assert (noises.kind, noises.value, noises.minimum, noises.maximum) == ("integer", "10", 1, 100)
    assert (noises.label, noises.help) == ("N noises", "Noise draws per fact.")
    assert (fields["corruption"].kind, fields["corruption"].choices) == (
        "choice",
        ("noise", "mean"),
    )
    assert (fields["sites"].kind, fields["sites"].chosen) == ("many", ("resid",))
    assert [fields[n].kind for n in ("layers", "is_exact", "window", "note", "nested")] == [
        "list",
        "flag",
        "integer",
        "text",
        "json",
    ]


def test_only_what_differs_from_the_defaults_is_read() -> None:
    posted = FormData(
        [
            ("options.n_noises", "20"),
            ("options.scale", "3"),
            ("options.corruption", "noise"),
            ("options.sites", "resid"),
            ("options.sites", "mlp"),
            ("options.layers", "1, 2"),
            ("options.window", ""),
            ("options.nested", '{"depth": 1}'),
        ]
    )
    options, problems = read_options(SCHEMA, posted)
    assert problems == []
    assert options == {
        "n_noises": 20,
        "sites": ["resid", "mlp"],
        "layers": [1, 2],
        "is_exact": False,
    }
    Example.model_validate(options)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("n_noises", "many", 'n_noises is "many"; expected a whole number from 1 to 100.'),
        ("n_noises", "0", "n_noises is 0; expected a whole number from 1 to 100."),
        ("n_noises", "1.5", 'n_noises is "1.5"; expected a whole number from 1 to 100.'),
        ("scale", "-1", "scale is -1.0; expected a number above 0."),
        ("scale", "nan", "scale is NaN; expected a number above 0."),
        ("corruption", "zero", 'corruption is "zero"; expected one of noise, mean.'),
        ("layers", "1, x", 'layers is "1, x"; expected a list, each a whole number.'),
        ("window", "0", "window is 0; expected a whole number of at least 1, or nothing."),
        ("note", "too long", 'note is "too long"; expected text of at most 5 characters.'),
    ],
)
def test_a_refused_value_has_one_sentence_and_is_kept_as_typed(
    name: str, text: str, words: str
) -> None:
    posted = FormData([(f"options.{name}", text)])
    _, problems = read_options(SCHEMA, posted)
    assert problems == [(f"options.{name}", words)]
    field = by_name(form_fields(SCHEMA, posted=posted, problems=problems))[name]
    assert (field.value, field.error) == (text, words)


def test_what_the_form_lets_through_the_contract_accepts() -> None:
    for options in (
        {"n_noises": 1, "scale": 1e-9},
        {"window": None, "sites": ["mlp"], "layers": []},
        {"note": "12345", "nested": {"depth": 4}, "is_exact": False},
    ):
        assert check_options(SCHEMA, options) == []
        Example.model_validate(options)


def test_an_unknown_option_is_named_with_the_nearest() -> None:
    [(field, sentence)] = check_options(SCHEMA, {"noises": 3})
    assert field == "options.noises"
    assert "Did you mean 'n_noises'?" in sentence


def test_an_earlier_runs_options_fill_the_form() -> None:
    fields = by_name(form_fields(SCHEMA, values={"n_noises": 7, "is_exact": False, "scale": 0.5}))
    assert [fields[n].value for n in ("n_noises", "is_exact", "scale")] == ["7", "", "0.5"]


def test_a_required_option_that_is_missing_is_said() -> None:
    schema = {"properties": {"text": {"type": "string"}}, "required": ["text"]}
    assert check_options(schema, {}) == [("options.text", "text is missing; expected text.")]
    [field] = form_fields(schema)
    assert field.required
