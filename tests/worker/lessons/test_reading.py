"""A lesson's file is read strictly, and what is wrong is said with its line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.lessons.library import BUILT_IN, library
from worker.cli.main import app
from worker.contract.errors import NotFound, UserError
from worker.lessons.glossary import forms, glossary
from worker.lessons.reading import filled, read, read_file

WHOLE = """---
title: A lesson
summary: One can do it.
minutes: 3
fact: {prompt: "{} plays", subject: Ann Bell, other: Bob Cole}
terms: [token]
---

:::experiment
name: ask
view: predictions
options: {prompt: $prompt}
:::

## One

Words with **{{prompt}}**.

:::question
kind: choice
ask: Which?
of: ask
choices:
  - {words: golf, when: says("golf")}
  - {words: tennis, when: says("tennis")}
:::

:::figure
name: next
of: ask
show: tops
title: Next
caption: The next.
:::

It says {{ask: answer()}}.

:::notes
For the teacher.
:::
"""


def problems(text: str) -> list[tuple[str, str]]:
    with pytest.raises(UserError) as raised:
        read(text, "test")
    return raised.value.problems


def line_of(text: str, words: str) -> str:
    return f"line {next(i for i, one in enumerate(text.splitlines(), 1) if words in one)}"


def test_a_step_shows_what_is_above_its_question_first() -> None:
    (step,) = read(WHOLE, "test").steps
    assert step.title == "One" and step.question is not None
    assert [part.kind for part in step.above] == ["text"]
    assert [part.kind for part in step.below] == ["figure", "text", "notes"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("minutes: 3", "minutes: many", "minutes is 'many'"),
        ("kind: choice", "kind: choise", "kind is 'choise'"),
        ("of: ask\nchoices", "of: asc\nchoices", "Did you mean 'ask'"),
        ("show: tops", "shows: tops", "Did you mean 'show'"),
        ('when: says("tennis")', 'when: say("tennis")', "Did you mean 'says'"),
        ('when: says("tennis")', "when: says()", "missing a required argument"),
        ('when: says("tennis")', "when: 'says(1) or [1]'", "may not stand in an expression"),
        ('when: says("tennis")', "when: ().__class__", "may not stand in an expression"),
        ("{prompt: $prompt}", "{prompt: $promt}", "Did you mean '$prompt'"),
        ("{prompt: $prompt}", "{prompt: $}", "stands for nothing"),
        ("Words with **{{prompt}}**.", "Words {{ask: answer()}}.", "stands above the question"),
        ("It says {{ask: answer()}}.", "It says {{answer()}}.", "names no experiment"),
        (":::notes", ":::nots", "Did you mean 'notes'"),
        ("terms: [token]", "terms: [tokn]", "Did you mean 'token'"),
        ("name: next\n", "name: next\nname: twice\n", "'name' is there twice"),
        ("name: next\n", "name: [next\n", "This is no YAML"),
        ('- {words: tennis, when: says("tennis")}\n', "", "one choice"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, words: str) -> None:
    assert old in WHOLE
    found = problems(WHOLE.replace(old, new))
    assert any(words in said for _, said in found), found
    assert all(field.startswith("line ") for field, _ in found)


def test_the_line_is_that_of_the_wrong_field() -> None:
    text = WHOLE.replace("of: ask\nshow", "oof: ask\nshow")
    assert (line_of(text, "oof: ask")) in [field for field, _ in problems(text)]
    text = WHOLE.replace('when: says("tennis")', 'whn: says("tennis")')
    assert line_of(text, "whn") in [field for field, _ in problems(text)]


def test_a_second_question_and_a_part_before_the_first_step_are_refused() -> None:
    question = WHOLE[WHOLE.index(":::question") : WHOLE.index(":::figure")]
    assert any("has a question already" in said for _, said in problems(WHOLE + question))
    moved = WHOLE.replace("## One\n", "").replace(
        "For the teacher.", "x\n:::\n\n## One\n\n:::notes\nx"
    )
    assert any("above the first step" in said for _, said in problems(moved))


def test_a_click_names_a_figure_above_it_and_a_number_what_it_equals() -> None:
    begun, end = WHOLE.index(":::question"), WHOLE.index(":::figure")
    click = (
        ":::question\nkind: click\nask: Where?\nof: ask\nfigure: next\naccept: value > 1\n:::\n\n"
    )
    found = problems(WHOLE[:begun] + click + WHOLE[end:])
    assert any("figure above this question" in said for _, said in found)
    number = ":::question\nkind: number\nask: How much?\nof: ask\n:::\n\n"
    found = problems(WHOLE[:begun] + number + WHOLE[end:])
    assert [said for _, said in found] == ["A question of the kind number needs equals."]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("{{later: at(last)}}", "No experiment above this one 'later'"),
        ("{{ask: at(lst)}}", "No name 'lst'"),
        ("{{ask: nothing()}}", "No function 'nothing'"),
    ],
)
def test_an_option_takes_only_what_an_experiment_above_it_found(option: str, words: str) -> None:
    more = f'experiment\nname: later\nview: head\noptions: {{layer: ["{option}"]}}\n:::\n\n'
    begun = WHOLE.index("## One")
    found = problems(f"{WHOLE[:begun]}:::{more}{WHOLE[begun:]}")
    assert [line for line, _ in found] == ["line 15"] and words in found[0][1]


SPEC = 'spec: {kind: evaluate, facts: {set: s, forget: "first:1"}}'


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("run\nname: m\ntitle: M\nspec: {kind: unlearn}", "No kind of run that measures 'unlearn'"),
        (f"run\nname: m\ntitle: M\nedit: off_it\n{SPEC}", "No edit 'off_it'"),
        (f"run\nname: m\ntitle: M\n{SPEC[:-1]}, evaluation: [a]}}", "No field 'evaluation'"),
        ("experiment\nname: b\nrun: none_such", "No edit or run 'none_such'"),
        ("experiment\nname: b\nrun: none_such\nview: lens", "one of the two"),
        ("experiment\nname: b", "one of the two"),
        ("experiment\nname: b\nrun: none_such\noptions: {a: 1}", "no options and no edit"),
    ],
)
def test_a_measurement_that_is_none_is_named_by_line(block: str, words: str) -> None:
    begun = WHOLE.index("## One")
    found = problems(f"{WHOLE[:begun]}:::{block}\n:::\n\n{WHOLE[begun:]}")
    assert {line for line, _ in found} == {"line 15"}
    assert any(words in said for _, said in found)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("make\nWords.", "no :::edit"),
        ("measure\nWords.", "no :::run"),
        ("figure\nname: n\nof: ask\nshow: bars\ntitle: T\ncaption: C", "Bars belong"),
        (
            "figure\nname: n\nof: ask\nshow: bars\ntitle: T\ncaption: C\n"
            "bars: [{words: w, value: fund('x')}]",
            "No function 'fund'. Did you mean 'found'?",
        ),
    ],
)
def test_a_button_without_work_and_bars_without_numbers_are_named(more: str, words: str) -> None:
    found = problems(f"{WHOLE}\n:::{more}\n:::\n")
    assert len(found) == 1 and words in found[0][1]


def test_html_of_the_writer_is_text() -> None:
    lesson = read(WHOLE.replace("Words with", "<script>x</script> with"), "test")
    assert "<script>" in lesson.steps[0].parts[0].text  # written out by the page, escaped


def test_options_are_filled_at_any_depth_and_a_dollar_can_be_written() -> None:
    given = {"prompt": "P", "corrupted": "C", "subject": "S", "other": "O"}
    options = {"a": ["$prompt", 1, {"b": "$$5 $other"}], "c": "{{ask: at(last)}}"}
    filled_in = filled(options, given, lambda name, text: (name, text.strip()))
    assert filled_in == {"a": ["P", 1, {"b": "$5 O"}], "c": ("ask", "at(last)")}


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.md")), ids=lambda path: path.stem)
def test_every_built_in_lesson_is_well_written(path: Path) -> None:
    lesson = read_file(path)
    assert all(part.text for step in lesson.steps for part in step.parts if part.kind == "notes")
    assert all(any(part.kind == "notes" for part in step.parts) for step in lesson.steps)
    assert lesson.front.minutes <= 10
    assert set(lesson.front.terms) <= set(glossary())


def test_every_form_of_a_term_is_explained_once() -> None:
    listed = [form.casefold() for word, term in glossary().items() for form in (word, *term.also)]
    assert len(listed) == len(set(listed)) == len(forms())


def test_the_command_says_what_is_wrong_at_which_line(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text(WHOLE)
    bad.write_text(WHOLE.replace("show: tops", "shows: tops"))
    answer = CliRunner().invoke(app, ["lesson", "check", str(good)])
    assert answer.exit_code == 0 and "1 steps, 1 questions" in answer.output
    with pytest.raises(UserError) as raised:
        CliRunner().invoke(app, ["lesson", "check", str(bad)], catch_exceptions=False)
    assert line_of(bad.read_text(), "shows") in [field for field, _ in raised.value.problems]


def test_lessons_of_a_folder_appear_beside_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text(WHOLE)
    (tmp_path / "broken.md").write_text("no front matter")
    (tmp_path / "where.md").write_text(WHOLE)
    found = library(tmp_path)
    assert found.find("mine").front.title == "A lesson"
    assert found.find("where").front.title != "A lesson"
    assert dict(found.problems)["where.md"] == "there is a lesson 'where' already."
    with pytest.raises(NotFound, match="front matter"):
        found.find("broken")
    with pytest.raises(NotFound, match="Did you mean 'mine'"):
        found.find("min")
    with pytest.raises(UserError, match="no folder"):
        library(tmp_path / "nowhere")
