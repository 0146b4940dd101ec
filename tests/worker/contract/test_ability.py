"""Which worker can compute what, and what is said when none can."""

import pytest

from worker.contract.ability import can, demands, has_room, takers, why_nobody, why_waits
from worker.contract.mask import MaskSpec
from worker.contract.menu import Announcement, MethodInfo, ModelInfo, RecipeInfo
from worker.contract.merging import merge
from worker.contract.selection import FactsSpec
from worker.contract.spec import (
    AddSpec,
    EditedModel,
    EvaluateSpec,
    ExploreSpec,
    ExportSpec,
    LocalizeSpec,
    Spec,
    StudySpec,
    UnlearnSpec,
)
from worker.contract.study import StudyMask, StudyMethod

FACTS = FactsSpec(set="tiny")
GB = 10**9


def menu(
    *models: str | ModelInfo, methods: tuple[str, ...] = ("tracing",), memory: int = 0
) -> Announcement:
    known = [ModelInfo(id=one, title=one) if isinstance(one, str) else one for one in models]
    options = {"properties": {"n_noises": {"type": "integer"}}}
    kinds = ("localization", "unlearning", "evaluation", "explore")
    found = [
        MethodInfo(kind=kind, name=name, title=name, summary="", options=options)
        for kind in kinds
        for name in methods
    ]
    return Announcement(
        methods=tuple(found), models=tuple(known), fact_sets=(), device="cpu", memory_bytes=memory
    )


def sized(id: str, **bytes: int) -> ModelInfo:
    return ModelInfo(id=id, title=id, memory_bytes=bytes)


def localize(model: str = "demo", method: str = "tracing", **more: object) -> LocalizeSpec:
    return LocalizeSpec(model=model, facts=FACTS, method=method, **more)


def test_a_run_goes_to_the_worker_that_has_its_model_and_its_method_together() -> None:
    menus = {"w1": menu("demo"), "w2": menu("big", methods=("tracing", "other"))}
    assert takers(localize(), menus) == {"w1"}
    assert takers(localize("big", "other"), menus) == {"w2"}
    assert takers(localize("demo", "other"), menus) == set()
    [(field, sentence)] = why_nobody(localize("demo", "other"), menus)
    assert field == "method"
    assert "w1 does not have the localization 'other'" in sentence
    assert "w2 does not have the model 'demo'" in sentence


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        (localize("gone"), "model", "w1 does not have the model 'gone'"),
        (localize("broken"), "model", "w1 cannot load 'broken': its weights are a pickle"),
        (localize("huge"), "model", "w1 has 8 GB of memory, and 'huge' takes 40 GB"),
        (localize(method="none"), "method", "does not have the localization 'none'"),
        (localize(options={"new": 1}), "options.new", "has 'tracing' without 'new'"),
        (ExploreSpec(view="lens"), "view", "does not have the explore 'lens'"),
        (
            EvaluateSpec(facts=FACTS, evaluations=("tracing", "probes")),
            "evaluations",
            "does not have the evaluation 'probes'",
        ),
        (
            ExportSpec(model=EditedModel(base="gone", edits=("a",))),
            "model",
            "does not have the model 'gone'",
        ),
        (AddSpec(model="smol"), "model", "w1 has no recipe 'smol'"),
    ],
)
def test_what_no_worker_can_do_is_said_with_what_each_lacks(
    spec: Spec, field: str, words: str
) -> None:
    broken = ModelInfo(id="broken", title="", problem="its weights are a pickle.")
    menus = {"w1": menu("demo", broken, sized("huge", load=40 * GB), memory=8 * GB)}
    [(found, sentence)] = why_nobody(spec, menus)
    assert found == field
    assert words in sentence
    assert not can(spec, menus["w1"])


def test_a_method_that_an_architecture_rules_out_goes_to_no_worker_with_that_model() -> None:
    lacking = ModelInfo(id="moe", title="", lacks={"mlp_matrix": "its MLPs are several experts"})
    needy = menu(lacking)
    needs = tuple(m.model_copy(update={"needs": ("mlp_matrix",)}) for m in needy.methods)
    menus = {"w1": needy.model_copy(update={"methods": needs})}
    [(field, sentence)] = why_nobody(localize("moe"), menus)
    assert (field, "several experts" in sentence) == ("method", True)


def test_where_a_worker_has_room_for_the_whole_run_one_that_only_loads_the_model_leaves_it() -> (
    None
):
    info = sized("big", load=6 * GB, localize=12 * GB)
    small, large = menu(info, memory=8 * GB), menu(info, memory=80 * GB)
    assert takers(localize("big"), {"small": small, "large": large}) == {"large"}
    assert takers(localize("big"), {"small": small}) == {"small"}
    [demand] = demands(localize("big"))
    assert (has_room(demand, small), has_room(demand, large)) == (False, True)


def test_a_base_in_8_bits_is_measured_as_it_is_then_loaded() -> None:
    info = ModelInfo(
        id="big",
        title="",
        memory_bytes={"load": 16 * GB},
        memory_bytes_8bit={"load": 5 * GB, "localize": 6 * GB},
    )
    menus = {"w1": menu(info, memory=8 * GB)}
    assert why_nobody(localize("big", load_in="8bit"), menus) == []
    assert "takes 16 GB" in why_nobody(localize("big"), menus)[0][1]


def a_study(method: str = "tracing", evaluation: str = "tracing") -> StudySpec:
    return StudySpec(
        facts=FACTS,
        masks={"mlp": StudyMask(title="", components=("blocks.0.mlp",))},
        methods={"one": StudyMethod(title="", method=method)},
        evaluations=(evaluation,),
    )


def test_a_studys_children_may_go_to_different_workers() -> None:
    edits, asks = menu("demo", methods=("edit",)), menu("demo", methods=("ask",))
    assert why_nobody(a_study("edit", "ask"), {"w1": edits, "w2": asks}) == []
    [(field, sentence)] = why_nobody(a_study("edit", "ask"), {"w1": edits})
    assert field == "evaluations"
    assert "w1 does not have the evaluation 'ask'" in sentence


def test_a_mask_and_edits_change_nothing_of_who_can() -> None:
    spec = UnlearnSpec(
        model=EditedModel(base="demo", edits=("a",)),
        facts=FACTS,
        mask=MaskSpec(components=("blocks.0.mlp",)),
        method="tracing",
    )
    assert can(spec, menu("demo"))


def test_a_menu_of_several_workers_has_all_that_one_of_them_can_do() -> None:
    first = menu("demo", ModelInfo(id="big", title="", problem="too new"), memory=8 * GB)
    second = menu(sized("big", load=GB), methods=("tracing", "other"), memory=80 * GB).model_copy(
        update={"device": "cuda:0", "recipes": (a_recipe(),)}
    )
    merged = merge([first, second])
    assert [(m.id, m.problem) for m in merged.models] == [("demo", ""), ("big", "")]
    assert {m.name for m in merged.methods} == {"tracing", "other"}
    assert len(merged.methods) == len({(m.kind, m.name) for m in merged.methods})
    assert [recipe.name for recipe in merged.recipes] == ["smol"]
    assert (merged.device, merged.memory_bytes) == ("cpu, cuda:0", 80 * GB)
    assert merge([first]) is first


def test_a_form_offers_an_option_that_only_one_workers_method_has() -> None:
    old, new = menu("demo"), menu("demo")
    more = {"properties": {"n_noises": {"type": "number"}, "scale": {"type": "number"}}}
    new = new.model_copy(
        update={"methods": tuple(m.model_copy(update={"options": more}) for m in new.methods)}
    )
    properties = merge([old, new]).methods[0].options["properties"]
    assert properties == {"n_noises": {"type": "integer"}, "scale": {"type": "number"}}
    assert takers(localize(options={"scale": 1}), {"old": old, "new": new}) == {"new"}


def test_of_a_model_that_two_workers_have_the_one_with_room_for_it_speaks() -> None:
    small = menu(sized("big", load=16 * GB), memory=8 * GB)
    info = sized("big", load=9 * GB).model_copy(update={"loaded": True})
    large = menu(info, memory=80 * GB)
    assert merge([small, large]).models == (info,)
    assert merge([large, small]).models == (info,)


def a_recipe() -> RecipeInfo:
    return RecipeInfo(
        name="smol",
        title="",
        summary="",
        licence="",
        made_by="",
        note="",
        download_bytes=1,
        disk_bytes=1,
    )


def test_a_worker_that_is_halted_takes_nothing_and_others_do_what_it_could() -> None:
    menus = {"w1": menu("demo"), "w2": menu("demo"), "w3": menu("big")}
    assert takers(localize(), menus) == {"w1", "w2"}
    assert takers(localize(), menus, halted={"w1"}) == {"w2"}
    assert takers(localize(), menus, halted={"w1", "w2"}) == set()
    assert why_waits(localize(), menus, {"w1": "is paused by ada"}) == ""
    both = {"w1": "is paused by ada", "w2": "is drained by bo"}
    said = why_waits(localize(), menus, both)
    assert "w1 is paused by ada; w2 is drained by bo; w3 does not have the model 'demo'" in said
    assert said.endswith("nothing of it is lost. It begins when w1 or w2 is resumed.")
    assert "Put back what is missing" in why_waits(localize("other"), menus, both)


def test_a_run_that_was_moved_is_one_worker_s_while_it_can() -> None:
    menus = {"w1": menu("demo"), "w2": menu("demo"), "w3": menu("big")}
    assert takers(localize(), menus, moved_to="w2") == {"w2"}
    assert takers(localize(), menus, {"w2"}, "w2") == set()
    assert takers(localize(), menus, moved_to="gone") == {"w1", "w2"}
    assert takers(localize(), menus, moved_to="w3") == {"w1", "w2"}
    assert why_waits(localize(), menus, {"w1": "is paused by ada"}, "w2") == ""
    said = why_waits(localize(), menus, {"w2": "is paused by ada"}, "w2")
    assert said.startswith("It was moved to the worker w2, which is paused by ada. The run waits")
