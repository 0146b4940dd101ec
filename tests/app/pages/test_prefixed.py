"""Every page and every answer under a prefix: no address that goes out forgets it."""

from collections.abc import Callable
from html.parser import HTMLParser
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.drawing.drawing import Source
from tests.app.conftest import ROOT
from tests.app.pages.test_every_address import filled, parts, paths

NO_ADDRESSES = {"value", "title", "d", "data-text", "data-tip", "aria-label", "placeholder"}
"""Attributes that may begin with a slash and are no address of this server."""


class Addresses(HTMLParser):
    """Every attribute of a page whose value could be an address of this server."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found += [
            (name, value)
            for name, value in attrs
            if value and value.startswith("/") and name not in NO_ADDRESSES
        ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["localize", "unlearn", "evaluate"])
def test_every_address_on_every_page_and_in_every_answer_begins_with_the_prefix(
    inside: TestClient,
    engine: Any,
    put: Callable[[str, Source], str],
    made: ModuleType,
    kind: str,
) -> None:
    engine.is_alive = False
    sources = {
        "localize": made.localization_source,
        "unlearn": made.edit_source,
        "evaluate": made.evaluation_source,
    }
    run = put(kind, sources[kind]())
    seen = 0
    for path in sorted(set(paths())):
        if path.endswith(("/events", "/stream")):
            continue
        address = ROOT + filled(path, parts(run, "html") | {"figure": "components_heatmap"})
        answer = inside.get(address, follow_redirects=False)
        assert answer.headers.get("location", ROOT).startswith(ROOT), address
        if "html" not in answer.headers.get("content-type", ""):
            continue
        found = Addresses(answer.text).found
        seen += len(found)
        without = [pair for pair in found if not pair[1].startswith(f"{ROOT}/")]
        assert not without, (address, without)
        assert f"{ROOT}{ROOT}" not in answer.text, address
    assert seen > 500
