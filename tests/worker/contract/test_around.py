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
