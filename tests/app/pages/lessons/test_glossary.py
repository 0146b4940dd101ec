"""The glossary is a page of its own, and Home leads into the first lesson."""

from pathlib import Path
from typing import Any, cast

import yaml
from starlette.testclient import TestClient

from app.lessons.library import BUILT_IN
from app.pages.lessons._writing import Terms
from worker.contract.menu import MethodKind
from worker.core import registry
from worker.core.registry import methods
from worker.lessons.checking import PUT_IN
from worker.lessons.glossary import glossary
from worker.lessons.reading import read_file

FORMULAS = Path(registry.__file__).with_name("formulas.yaml")


def test_every_term_is_on_the_page(client: TestClient) -> None:
    page = client.get("/glossary").text
    assert page.count("<dt") == len(glossary()) > 30
    assert "Taking a state out of one run" in page


def test_home_leads_a_newcomer_into_the_first_lesson_and_to_finished_examples(
    client: TestClient,
) -> None:
    page = client.get("/").text.partition("<main")[2]
    assert page.index('href="/lessons/where"') < page.index('href="/localize"')
    assert 'href="/gallery"' in page and 'href="/gallery/runs/' in page


def test_every_term_that_a_lesson_names_stands_in_its_text() -> None:
    for path in sorted(BUILT_IN.glob("*.md")):
        lesson = read_file(path)
        parts = [part for step in lesson.steps for part in step.parts]
        shown = [part.figure.caption if part.figure else part.text for part in parts]
        shown += [part.question.ask for part in parts if part.question]
        text = " ".join(shown).casefold()
        for word in lesson.front.terms:
            written = [form for form in (word, *glossary()[word].also) if form.casefold() in text]
            assert written, f"{path.name} names {word!r} and does not use it"


def test_every_word_of_the_glossary_that_a_lesson_uses_is_named_by_it() -> None:
    for path in sorted(BUILT_IN.glob("*.md")):
        lesson = read_file(path)
        named = set(lesson.front.terms)
        for step in lesson.steps:
            for part in step.parts:
                if part.kind in ("text", "why", "own", "make", "measure"):
                    used = {word for _, word, _ in Terms().split(PUT_IN.sub("", part.text)) if word}
                    assert used <= named, f"{path.name}, line {part.line}: {sorted(used - named)}"


def test_a_comma_stays_with_the_word_that_is_explained_before_it() -> None:
    said = str(Terms().explain("Fact lookup, by a probe; the edit."))
    assert said.startswith('<span class="termed"><button')
    assert "</span>,</span> by a " in said and "</span>;</span> the " in said
    assert said.endswith("</span>.</span>")


def test_the_handbook_has_every_method_that_a_worker_announced(
    client: TestClient, engine: Any
) -> None:
    page = client.get("/handbook").text
    assert 'href="/handbook"' in client.get("/").text
    for one in engine.store.announcement().methods:
        assert f'id="{one.kind}-{one.name}"' in page


def test_every_method_says_what_it_computes_and_takes_and_nothing_else_does() -> None:
    told = yaml.safe_load(FORMULAS.read_text(encoding="utf-8"))
    for kind in ("localization", "unlearning", "evaluation"):
        found = methods(cast(MethodKind, kind))
        assert set(told[kind]) == set(found)
        for name, one in found.items():
            assert one.info.formula and one.info.cost, name
            assert not one.info.cost.endswith("."), name
    assert set(told) == {"localization", "unlearning", "evaluation"}


def test_a_plugins_method_brings_its_own_formula(client: TestClient, engine: Any) -> None:
    menu = engine.store.announcement()
    own = menu.methods[0].model_copy(update={"formula": "a < b", "cost": "one run per token"})
    changed = menu.model_copy(update={"methods": (own, *menu.methods[1:])})
    engine.store.announce("test-host:cpu", "g", changed)
    page = client.get("/handbook").text
    assert "a &lt; b" in page and "One run per " in page and 'id="term-token"' in page
