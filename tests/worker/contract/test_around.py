import pytest

from worker.contract.around import LOOKED, around
from worker.contract.facts import Fact, Ripple


def made(i: int, **more: object) -> Fact:
    return Fact(id=f"f{i}", subject=f"S{i}", prompt="{} is", target="here", **more)


def test_what_facts_bring_is_counted_on_average_and_neighbours_of_the_edit_target_are_kept() -> (
    None
):
    rich = made(
        0,
        edit_target="there",
        paraphrases=("{} lies", "{} stands"),
        options=("there", "nowhere"),
        edit_neighbourhood=("T is",),
        ripples=(
            Ripple(kind="entailed", prompt="S0 in", target="x"),
            Ripple(kind="kept", prompt="S0 of", target="y"),
        ),
    )
    found = around([rich, made(1)])
    assert (found["paraphrases"], found["options"]) == (1.0, 1.0)
    assert (found["entailed"], found["reversed"], found["kept"]) == (0.5, 0.0, 1.0)


def test_of_many_facts_some_stand_for_all_and_of_none_nothing_is_brought() -> None:
    many = [made(i, paraphrases=("{} lies",)) for i in range(3 * LOOKED)]
    assert around(many)["paraphrases"] == 1.0
    assert set(around([]).values()) == {0.0}
    third = [made(i, paraphrases=("{} lies",) if i % 3 == 0 else ()) for i in range(3 * LOOKED)]
    assert around(third)["paraphrases"] == 1.0, "every third of three times as many"
    assert around(third[: 2 * LOOKED - 1])["paraphrases"] == pytest.approx(133 / 399), (
        "all of fewer"
    )


def test_each_kind_is_counted_by_its_own_name() -> None:
    def ripples(*kinds: str, edit_prompt: str = "") -> tuple[Ripple, ...]:
        return tuple(
            Ripple(kind=kind, prompt="S0 in", target=f"x{i}", edit_prompt=edit_prompt)  # type: ignore[arg-type]
            for i, kind in enumerate(kinds)
        )

    fact = made(
        0,
        edit_target="there",
        paraphrases=("{} lies",),
        neighbourhood=("T is", "U is"),
        options=("there", "a", "b"),
        aliases=("c", "d", "e", "f"),
        ripples=(
            *ripples(*["entailed"] * 5),
            *ripples("entailed", edit_prompt="S9 in"),
            *ripples(*["kept"] * 8),
        ),
        translations=tuple(
            {"language": f"l{i}", "prompt": "{} ist", "target": "x"} for i in range(7)
        ),
    )
    assert around([fact]) == {
        "paraphrases": 1.0, "neighbourhood": 2.0, "options": 3.0, "aliases": 4.0,
        "entailed": 6.0, "reversed": 1.0, "kept": len(fact.kept), "translations": 7.0,
    }  # fmt: skip
    assert len(fact.kept) == 8
