"""No NaN and no infinity leaves core: not in arrays, numbers, tables, edits nor partial results."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worker.core.asking.next_logits import next_logits
from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.base import parse
from worker.contract.errors import NotFinite, UserError
from worker.contract.progress import Event, Quiet
from worker.contract.result import Axis, Comparison, Estimate, Evaluation, Table
from worker.core.asking.generation import generate
from worker.core.asking.scoring import score_answers
from worker.core.border import FiniteReport, check_findings
from worker.core.findings import Array, Findings
from worker.core.localization.attribution_patching import Options
from worker.core.models.delta_files import save_delta
from worker.core.models.model import Model

COMPONENTS = Axis(name="component", labels=("blocks.0.mlp", "blocks.1.attn"))


def findings(values: list[float], gaps: str = "") -> Findings:
    array = Array(np.array(values), (COMPONENTS,), "logit", "Components", signed=True, gaps=gaps)
    return Findings(arrays={"components": array})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_array_is_refused_by_the_component_whose_score_is_no_number(value: float) -> None:
    with pytest.raises(NotFinite, match=r"component blocks\.1\.attn is -?(nan|inf)"):
        check_findings(findings([1.0, value]))
    check_findings(findings([1.0, -2.0]))


def test_places_without_a_value_are_let_through_where_the_array_says_what_they_are() -> None:
    check_findings(findings([1.0, math.nan], gaps="the fact cannot be asked so"))
    with pytest.raises(NotFinite, match="1 infinite of 2 values"):
        check_findings(findings([1.0, math.inf], gaps="the fact cannot be asked so"))


def test_numbers_in_summaries_tables_and_evaluations_are_refused_by_name() -> None:
    nan = Estimate.model_construct(mean=math.nan, low=0.0, high=1.0, n=2)
    aggregate = Comparison.model_construct(name="x", title="X", better="none", before=nan)
    judged = Evaluation.model_construct(
        name="probes", title="", caption="", aggregates=(aggregate,), tables={}
    )
    for found, named in (
        (Findings(summary={"probes.x": math.nan}), "summary of this run gives nan for probes.x"),
        (Findings(tables={"search": Table(columns=("a",), rows=((math.inf,),))}), "table search"),
        (Findings(evaluations={"probes": judged}), "aggregates.0.before.mean"),
        (Findings(delta={"w": torch.tensor([1.0, math.nan])}), "its w has 1 NaN of 2 values"),
    ):
        with pytest.raises(NotFinite, match=named):
            check_findings(found)


def test_a_partial_result_is_not_told_either() -> None:
    told: list[Event] = []
    report = FiniteReport(Quiet(told.append))
    report.partial("curve", {"step": 1, "forget_probability": 0.5, "tokens": ["a"], "none": None})
    with pytest.raises(
        NotFinite, match=r"partial result 'grid' of this run gives nan for values\.1"
    ):
        report.partial("grid", {"values": [0.0, math.nan]})
    assert [event.name for event in told] == ["curve"]


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_that_are_no_numbers_name_the_first_component_that_gives_none(family: str) -> None:
    model = Model(family, make_model.__wrapped__(family).hf, make_model(family).tokenizer)
    block = model.blocks[1]
    module = block.get_submodule(model.layout.mlp or model.layout.mlp_out)
    weight = next(p for p in module.parameters() if p.ndim == 2)
    weight.data[0, 0] = math.inf
    for ask in (
        lambda: score_answers(model, [("So Ann is at", " golf")]),
        lambda: generate(model, ["So Ann is at"], 3),
    ):
        with pytest.raises(NotFinite, match=r"the output of blocks\.1\.mlp has"):
            ask()


def test_a_token_whose_embedding_is_no_number_is_noticed_where_it_is_read(tmp_path: Path) -> None:
    model = Model("m", make_model.__wrapped__("llama").hf, make_model("llama").tokenizer)
    token = model.tokenizer.encode("Z")[-1]
    model.hf.get_input_embeddings().weight.data[token] = math.nan
    score_answers(model, [("So Ann is at", " golf")])
    with pytest.raises(NotFinite, match="the output of the token embeddings has"):
        score_answers(model, [("So Zed is at", " golf")])


def test_in_a_later_token_of_a_generation_the_component_is_named_too() -> None:
    model = Model("m", make_model.__wrapped__("llama").hf, make_model("llama").tokenizer)
    first = int(next_logits(model, ["So Ann is at"])[0].argmax())
    model.hf.get_input_embeddings().weight.data[first] = math.nan
    with pytest.raises(NotFinite, match="the output of the token embeddings has"):
        generate(model, ["So Ann is at"], 3)


def test_half_precision_that_overflows_is_told_its_largest_number() -> None:
    made = make_model.__wrapped__("gpt2")
    model = Model("m", made.hf.half(), made.tokenizer)
    for parameter in model.blocks[2].mlp.c_proj.parameters():
        parameter.data.fill_(60_000.0)
    with pytest.raises(NotFinite, match=r"float16 is 65,504; choose the dtype float32"):
        score_answers(model, [("So Ann is at", " golf")])


def test_half_precision_without_numbers_at_its_end_names_the_unembedding() -> None:
    made = make_model.__wrapped__("llama")
    model = Model("m", made.hf.half(), made.tokenizer)
    model.hf.get_output_embeddings().weight.data[3] = math.nan
    with pytest.raises(NotFinite, match=r"the output of the unembedding has"):
        score_answers(model, [("So Ann is at", " golf")])


def test_an_edit_that_is_no_number_is_not_kept(tmp_path: Path) -> None:
    model = make_model("llama")
    values = {"model.norm.weight": torch.full((32,), math.nan)}
    with pytest.raises(NotFinite, match=r"model\.norm\.weight has 32 NaN"):
        save_delta(tmp_path / "d.safetensors", values, model=model, before_hash="a", after_hash="b")
    assert not (tmp_path / "d.safetensors").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_option_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(UserError, match=r"noise_level is (nan|inf)"):
        parse(Options, {"noise_level": value}, "options")
