"""What pages say holds no word that a reader cannot know; a term that it names is explained."""

from collections.abc import Callable
from types import ModuleType

import pytest
from starlette.testclient import TestClient

from app.drawing.drawing import Source
from tests.app.pages.test_every_address import filled, parts, paths
from tests.words import UNEXPLAINED, sentences, unexplained
from worker.engine.client import Engine

Put = Callable[[str, Source], str]


@pytest.mark.parametrize("kind", ["localize", "unlearn", "evaluate"])
def test_no_page_says_a_word_that_must_be_explained(
    client: TestClient, engine: Engine, put: Put, made: ModuleType, kind: str
) -> None:
    engine.is_alive = False  # type: ignore[attr-defined]
    source = {
        "localize": made.localization_source,
        "unlearn": made.edit_source,
        "evaluate": made.evaluation_source,
    }[kind]()
    run = put(kind, source)
    read = 0
    for path in sorted(set(paths())):
        if path.endswith(("/events", "/stream")) or path.startswith("/api/"):
            continue
        answer = client.get(filled(path, parts(run, "csv")))
        if answer.headers.get("content-type", "").startswith("text/html"):
            read += answer.status_code == 200
            found = unexplained(sentences(answer.text))
            assert not found, f"{path}: {found}"
    assert read > 30


@pytest.mark.parametrize(
    "shown",
    [
        "golf is in the shot of every prompt",
        "Mean probabilities, teacher-forced (0.9).",
        "clean .998, corrupted .305",
        "the largest |score|",
        "sites: resid, mlp",
        "asked by choice_shot",
    ],
)
def test_such_a_word_is_found_where_it_is_read_and_not_in_code(shown: str) -> None:
    assert unexplained(sentences(f"<p>{shown}</p>"))
    assert not unexplained(sentences(f"<code>{shown}</code><script>{shown}</script>"))
    assert not unexplained(sentences("<p>The residual stream, of whole answers.</p>"))
    assert all(UNEXPLAINED.values())
