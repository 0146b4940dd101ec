"""Which of a study's numbers are its columns."""

from worker.engine.study.headlines import FIRST, HEADLINES, NOT_OF_THE_BASE, columns
from worker.engine.study.paper import COLUMNS


def test_the_papers_columns_come_in_their_order_whatever_else_was_measured() -> None:
    names = [name for _, _, name, _ in HEADLINES]
    found = columns(["x.after", *reversed(names)], {})
    assert [metric.name for metric in found] == names
    shorts = [metric.short for metric in found]
    assert [short for short in shorts if short in COLUMNS] == list(COLUMNS), "in its order"
    assert [short for short in shorts if short not in COLUMNS] == [
        "perplexity", "divergence", "paraphrase_edit", "paraphrase_retain", "question_edit",
        "choice_held_out_edit", "latent_true", "latent_edit",
    ]  # fmt: skip
    better = {metric.short: metric.better for metric in found}
    wants_less = {"forget", "divergence", "choice_forget", "relearn_forget", "latent_true"}
    assert {short for short, which in better.items() if which == "lower"} == wants_less
    aside = {short for short, which in better.items() if which == "none"}
    assert aside == {"perplexity"}, "harm whether it rises or falls"
    assert len({metric.title for metric in found}) == len(found)


def test_without_any_of_them_the_first_numbers_after_the_edit_are_shown() -> None:
    many = [f"e.{i}.{state}" for i in range(20) for state in ("before", "after")]
    found = columns(many, {"e.0.after": ("First", "lower")})
    assert [metric.name for metric in found] == [f"e.{i}.after" for i in range(FIRST)]
    assert FIRST == 12
    assert (found[0].title, found[0].better, found[0].short) == ("First", "lower", "e.0.after")
    assert (found[1].title, found[1].better) == ("e.1.after", "none")
    assert [metric.name for metric in columns(["a", "b"], {})] == ["a", "b"]
    assert columns([], {}) == []
    assert NOT_OF_THE_BASE == ("interference.",)
