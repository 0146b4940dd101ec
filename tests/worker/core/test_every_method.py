"""Every method on a small mixture of experts, and what every number that it shows is called.

What a method cannot do with an architecture is said before a run is queued, and whatever it gives
back says of each array what its numbers are: in the array itself, in its figures' axes, colour
bars and hovers, and in the columns that are downloaded. A new method is walked through as it comes.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
import transformers as hf

from app.drawing.drawing import Drawing, Source
from app.drawing.find import draw, offers
from tests.worker.core.models.families import N_TOKENS, make_tokenizer
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskPreflight, Inputs, StackedEdit
from worker.contract.mask import Mask
from worker.contract.menu import MethodKind
from worker.contract.progress import Quiet
from worker.contract.result import Result
from worker.contract.spec import parse_spec
from worker.contract.units import CHANGES, LEVELS, size_of
from worker.core.models.cache import ModelCache
from worker.core.models.model import Model
from worker.core.registry import methods
from worker.core.training.forward import logits_at_answers
from worker.core.training.losses import cross_entropy
from worker.core.training.pool import fact_rows, pool
from worker.run import answer, run

SIZES = {
    "vocab_size": N_TOKENS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
CONFIGS = {
    "experts": hf.MixtralConfig(**SIZES, num_local_experts=3),
    "dense": hf.LlamaConfig(**SIZES),
}
GAMES = ("golf", "chess", "ball", "go")
NAMES = [
    f"{first} {last}"
    for first in ("Ada", "Bo", "Cy", "Di", "Ed", "Flo")
    for last in ("Lund", "Marsh", "Nolan", "Pace", "Quist", "Reed")
]
FACTS = FactSet(
    name="games",
    facts=tuple(
        Fact(
            id=f"f{i}",
            subject=name,
            prompt="{} plays",
            target=GAMES[i % 4],
            edit_target=GAMES[(i + 1) % 4],
            question="What does {} play?",
            relation="game",
            paraphrases=("{} likes",),
            options=(GAMES[(i + 1) % 4], GAMES[(i + 2) % 4]),
        )
        for i, name in enumerate(NAMES)
    ),
)
MASK = Mask(components=("blocks.0.mlp", "blocks.1.mlp"))
SMALL = {
    "steps": 2, "probe_every": 1, "learning_rate": 1e-3, "search": "off", "keep": "last",
    "retain_facts": 12, "general_sentences": 4, "reinforce_steps": 2, "value_steps": 3,
    "covariance_tokens": 300, "sentences": 2, "relearn_steps": 2, "measure_every": 1,
    "generate": False, "limit": 2, "prompts": 4, "points": 3, "bootstrap": 10,
    "permutations": 20, "draws": 2, "probe_facts": 36, "facts_per_relation": 2, "scales": (0.5,),
    "other_relations": False, "tasks": ("lethe_relations",),
    "dictionary": '{"Ada": "Eve"}', "formats": ("statement", "choice"), "min_probability": 0.0,
}  # fmt: skip
"""Options with which each method is quick, as far as it has them."""
OWN: dict[str, dict[str, object]] = {
    "whos_harry_potter": {"text": "tale", "block": 16},
    "eap_ig": {"points": "middle"},
    "eap_ig_activations": {"points": "middle"},
    "task_vector": {"keep": "best", "learning_rate": 1e-2, "steps": 5, "scales": (0.1, 0.5)},
    "stack_edits": {"edits": ("below",)},
    "familiarity": {"text": "One day after chess and golf and ball Cy met Ada Lund at home."},
}
KINDS = ("localization", "unlearning", "evaluation")
METRICS = ("probability", "logit_diff", "")
LONG = ("language_tasks", "relearning", "verdict", "whos_harry_potter")
EVERY = [
    pytest.param(kind, name, marks=[pytest.mark.slow] if name in LONG else [])
    for kind in KINDS
    for name in methods(kind)
]


@pytest.fixture(scope="module")
def models() -> Iterator[ModelCache]:
    """Both models, taught half of the facts."""
    with TemporaryDirectory() as folder:
        for name, config in CONFIGS.items():
            torch.manual_seed(0)
            made = hf.AutoModelForCausalLM.from_config(config).float()
            teach(Model(name, made, make_tokenizer()))
            made.save_pretrained(Path(folder) / name)
            make_tokenizer().save_pretrained(Path(folder) / name)
        yield ModelCache(roots=[Path(folder)])
        computed.cache_clear()


def teach(model: Model) -> None:
    facts = FACTS.facts
    rows = pool(model, fact_rows(model, facts, [fact.target for fact in facts]))
    batch = rows.batch(torch.arange(len(facts)))
    optimizer = torch.optim.Adam(model.hf.parameters(), lr=1e-2)
    model.hf.requires_grad_(True)
    for _ in range(40):
        optimizer.zero_grad()
        cross_entropy(logits_at_answers(model, batch), batch.labels).backward()
        optimizer.step()
    model.hf.requires_grad_(False)
    model.hf.zero_grad(set_to_none=True)


def spec_of(
    kind: str, name: str, model: str, metric: str = "", edit: str = ""
) -> dict[str, object]:
    known = methods(kind)[name].info.options.get("properties", {})
    options = {option: value for option, value in SMALL.items() if option in known}
    options |= OWN.get(name, {})
    if metric and "metric" in known:
        options["metric"] = metric
    spec = {"model": model, "facts": {"set": "games", "forget": "first:4"}}
    if kind == "localization":
        return spec | {"kind": "localize", "method": name, "options": options}
    if kind == "unlearning":
        mask = {"components": list(MASK.components)}
        return spec | {"kind": "unlearn", "method": name, "options": options, "mask": mask}
    over = {"base": model, "edits": [edit]} if edit else model
    return spec | {
        "kind": "evaluate", "model": over, "evaluations": [name], "options": {name: options}
    }  # fmt: skip


def _folder(kind: str, name: str, model: str, metric: str, models: ModelCache) -> Path:
    return models.roots[0] / "runs" / f"{kind}-{name}-{model}-{metric}"


@cache
def computed(kind: str, name: str, model: str, metric: str, models: ModelCache) -> Source | str:
    """A method's result on a model; or what its preflight says against it."""
    out = _folder(kind, name, model, metric, models)
    out.mkdir(parents=True, exist_ok=True)
    tale = out / "tale.txt"
    tale.write_text("Ada Lund met Bo Marsh. Ada Lund likes Bo Marsh.\n" * 2)
    edit = kind == "evaluation" or name == "stack_edits"
    below = _edit(model, models) if edit else ""
    stacked = {"below": StackedEdit(deltas=(below,), facts=FACTS.facts[:4])} if edit else {}
    inputs = Inputs(
        out=str(out),
        fact_set=FACTS,
        mask=MASK,
        deltas=(below,) if kind == "evaluation" else (),
        edited=(FACTS.facts[:4],) if kind == "evaluation" else (),
        stacked=stacked,
        texts={"tale": str(tale)},
    )
    spec = parse_spec(spec_of(kind, name, model, metric, "below" if below else ""))
    try:
        answer(AskPreflight(spec=spec, inputs=inputs), models)
    except UserError as refused:
        return refused.message
    found = run(spec, inputs, Quiet(), models)
    return Source(found, lambda file: (out / file).open("rb"))


@cache
def _edit(model: str, models: ModelCache) -> str:
    """The delta of an edit of this model."""
    done = computed("unlearning", "ft_l", model, "", models)
    assert isinstance(done, Source), done
    return str(_folder("unlearning", "ft_l", model, "", models) / "delta.safetensors")


def sources(kind: str, name: str, models: ModelCache) -> Iterator[Source]:
    """A method's results, on the experts, else on the dense model; of some with each metric."""
    for metric in METRICS if name in ("attribution_patching", "causal_tracing") else ("",):
        found = computed(kind, name, "experts", metric, models)
        if isinstance(found, str):
            found = computed(kind, name, "dense", metric, models)
        assert isinstance(found, Source), f"{name} computes on no model: {found}"
        yield found


@pytest.mark.parametrize("kind", ["localization", "unlearning", "evaluation"])
def test_a_method_says_what_cannot_be_concluded_from_it(kind: MethodKind) -> None:
    silent = [name for name, method in methods(kind).items() if not method.info.limits]
    assert not silent, f"their files say no Limits: {silent}"
    assert all(not method.info.limits[0].islower() for method in methods(kind).values())


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_on_a_mixture_of_experts_a_method_computes_or_says_before_queueing_that_it_cannot(
    kind: str, name: str, models: ModelCache
) -> None:
    found = computed(kind, name, "experts", "", models)
    if isinstance(found, str):
        assert f"{name} cannot be used on 'experts': its MLPs have no single output" in found
    else:
        assert found.result.caption or found.result.evaluations


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_array_says_what_its_numbers_are_and_holds_such(
    kind: str, name: str, models: ModelCache
) -> None:
    known = LEVELS | CHANGES | {size_of(unit) for unit in CHANGES}
    for source in sources(kind, name, models):
        for key, info in source.result.arrays.items():
            values = source.array(key)
            assert info.unit in known, f"{key} is in {info.unit!r}: name it in contract/units.py"
            assert info.title and all(axis.name for axis in info.axes), key
            if info.signed:
                continue
            assert np.nanmin(values, initial=0) >= -1e-6, f"{key} is below 0"
            if info.unit in ("probability", "accuracy", "gate") or info.unit.startswith("share"):
                assert np.nanmax(values, initial=0) <= 1 + 1e-5, f"{key} is above 1"


@pytest.mark.parametrize("name", methods("localization"))
def test_a_caption_that_gives_an_effect_names_its_unit(name: str, models: ModelCache) -> None:
    for source in sources("localization", name, models):
        result = source.result
        assert result.attribution is not None
        if re.search(r"[+−-]\d*\.\d", result.caption) and name != "direct_logit_attribution":
            assert any(info.unit in result.caption for info in result.arrays.values())
        if "components.top_mlp_score" in result.summary:
            assert result.summary["components.unit"] == result.attribution.unit


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_figure_and_download_says_what_it_shows(
    kind: str, name: str, models: ModelCache
) -> None:
    for source in sources(kind, name, models):
        for offer in offers(source.result):
            ask = dict(offer.fixed)
            for site in _sites(offer.controls):
                drawing = draw(offer.figure, source, ask | site)
                check(drawing, source.result, offer.figure)


def _sites(controls: tuple[object, ...]) -> list[dict[str, str]]:
    """What each control's every choice asks, the others as they are at first."""
    return [{}] + [
        {control.name: choice} for control in controls for choice, _ in control.choices[1:4]
    ]


def check(drawing: Drawing, result: Result, figure: str) -> None:
    """Colour bars and axes of values have titles, and hovers and columns name the same."""
    shown = drawing.figure()
    layout = shown["layout"]
    bars = [
        value["colorbar"]["title"]["text"] for key, value in layout.items() if "coloraxis" in key
    ]
    y = layout.get("yaxis", {}).get("title", {}).get("text", "")
    assert all(bars) and (bars or y or figure == "edge_graph"), f"{figure} says not what it shows"
    hovers = [trace["hovertemplate"] for trace in shown["data"] if "hovertemplate" in trace]
    assert hovers, figure
    units = {info.unit for info in result.arrays.values()}
    for bar in bars:
        unit = re.split(r", − blue|<br>", bar)[0]
        assert unit in units | {"Δ probability"}, f"{figure}: {unit}"
        assert any(unit in hover for hover in hovers), f"{figure}: no hover says {unit}"
        named = {*drawing.cells.columns, *(str(cell) for row in drawing.cells.rows for cell in row)}
        assert unit in named, f"{figure}: the download names no {unit}"
    assert all(str(column).strip() for column in drawing.cells.columns)
    if figure == "edge_graph":
        assert f"score ({result.arrays['edges'].unit})" in drawing.cells.columns


TWO_ANSWERS = tuple(
    fact.model_copy(
        update={
            "target": GAMES[i % 2],
            "edit_target": GAMES[1 - i % 2],
            "options": (GAMES[1 - i % 2],),
        }
    )
    for i, fact in enumerate(FACTS.facts)
)
NO_OPTIONS = tuple(fact.model_copy(update={"options": ()}) for fact in FACTS.facts)


@pytest.mark.parametrize(
    ("name", "facts", "options", "words"),
    [
        ("multiple_choice", TWO_ANSWERS, {}, "multiple choice needs 4"),
        ("truth_ratio", NO_OPTIONS, {}, "No forget fact has wrong answers"),
        ("familiarity", FACTS.facts, {"text": "Ada met Bo."}, "text"),
        ("latent_probes", FACTS.facts[:4], {}, "more facts of the same relation"),
        ("verdict", FACTS.facts, {}, "this model has no edit"),
    ],
)
@pytest.mark.parametrize("brief", [False, True])
def test_what_an_evaluation_cannot_measure_is_refused_before_it_is_queued(
    name: str,
    facts: tuple[Fact, ...],
    options: dict[str, object],
    words: str,
    brief: bool,
    models: ModelCache,
) -> None:
    asked = {"set": "games", "forget": "first:4"}
    spec = parse_spec({
        "kind": "evaluate", "model": "dense", "facts": asked, "evaluations": [name],
        "options": {name: options},
    })  # fmt: skip
    inputs = Inputs(out="", fact_set=FACTS.model_copy(update={"facts": facts}))
    with pytest.raises(UserError, match=words):
        answer(AskPreflight(spec=spec, inputs=inputs, brief=brief), models)
