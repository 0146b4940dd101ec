"""What several workers can do, as one menu."""

from worker.contract.menu import Announcement, FactSetInfo, MethodInfo, ModelInfo
from worker.contract.merging import merge


def method(name: str, title: str = "", **options: object) -> MethodInfo:
    return MethodInfo(kind="localization", name=name, title=title, summary="", options=options)


def model(id: str, title: str = "", **fields: object) -> ModelInfo:
    return ModelInfo(id=id, title=title, **fields)


def menu(**fields: object) -> Announcement:
    base = {"methods": (), "models": (), "fact_sets": (), "device": "cpu", "memory_bytes": 10}
    return Announcement(**{**base, **fields})


def test_one_menu_is_left_as_it_is() -> None:
    alone = menu(models=(model("a"), model("a", "again")))
    assert merge([alone]) is alone


def test_the_devices_are_named_once_and_the_largest_memory_counts() -> None:
    menus = [
        menu(device="cpu", device_name="EPYC", versions={"lethe": "1"}),
        menu(device="cuda:0", device_name="H200", memory_bytes=99),
        menu(device="cpu", device_name=""),
    ]
    merged = merge(menus)
    assert (merged.device, merged.device_name) == ("cpu, cuda:0", "EPYC, H200")
    assert merged.memory_bytes == 99
    assert merged.versions == {"lethe": "1"}


def test_of_what_several_have_the_firsts_words_are_taken() -> None:
    sets = [FactSetInfo(name="s", title=t, n_facts=1, hash="h") for t in ("first", "second")]
    more = FactSetInfo(name="t", title="other", n_facts=2, hash="i")
    merged = merge([menu(fact_sets=(sets[0],)), menu(fact_sets=(sets[1], more))])
    assert [one.title for one in merged.fact_sets] == ["first", "other"]


def test_a_method_has_every_option_that_any_workers_has() -> None:
    first = method("m", "first", properties={"a": {"default": 1}}, type="object")
    second = method(
        "m", "second", properties={"a": {"default": 2}, "b": {}}, extra=True, **{"$defs": {"D": {}}}
    )
    [merged] = merge([menu(methods=(first,)), menu(methods=(second,))]).methods
    assert merged.title == "first"
    assert merged.options == {
        "properties": {"a": {"default": 1}, "b": {}},
        "type": "object",
        "extra": True,
        "$defs": {"D": {}},
    }


def test_methods_of_one_name_and_of_two_kinds_are_two() -> None:
    other = MethodInfo(kind="unlearning", name="m", title="", summary="", options={})
    assert merge([menu(methods=(method("m"),)), menu(methods=(other,))]).methods == (
        method("m"),
        other,
    )
    assert merge(
        [menu(methods=(method("m", x=1),)), menu(methods=(method("m", x=1),))]
    ).methods == (method("m", x=1),)


def shown(*menus: Announcement) -> str:
    [merged] = merge(menus).models
    return merged.title


def test_a_model_is_shown_as_the_worker_has_it_that_can_do_most_with_it() -> None:
    broken = menu(models=(model("a", "broken", problem="its weights are a pickle", loaded=True),))
    cramped = menu(models=(model("a", "cramped", memory_bytes={"load": 11}, loaded=True),))
    roomy = menu(models=(model("a", "roomy", memory_bytes={"load": 10}),))
    holding = menu(models=(model("a", "holding", memory_bytes={"load": 10}, loaded=True),))
    assert shown(broken, cramped) == shown(cramped, broken) == "cramped"
    assert shown(cramped, roomy) == shown(roomy, cramped) == "roomy"
    assert shown(roomy, holding) == shown(holding, roomy) == "holding"
    again = menu(models=(model("a", "again", memory_bytes={"load": 10}),))
    assert shown(roomy, again) == "roomy"


def test_a_device_that_does_not_say_its_memory_has_room() -> None:
    unsaid = menu(memory_bytes=0, models=(model("a", "unsaid", memory_bytes={"load": 10**12}),))
    cramped = menu(models=(model("a", "cramped", memory_bytes={"load": 11}),))
    assert shown(cramped, unsaid) == "unsaid"
    unmeasured = menu(memory_bytes=1, models=(model("a", "unmeasured"),))
    assert shown(cramped, unmeasured) == "unmeasured"
