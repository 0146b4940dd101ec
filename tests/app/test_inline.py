"""No template holds what the pages' policy refuses: an inline style, script or handler."""

import re

import pytest

from app.templating import TEMPLATES

INLINE = re.compile(
    r"""\sstyle\s*=|<style\b|<script\b(?![^>]*\bsrc=)(?![^>]*\btype="application/json")|"""
    r"""\son\w+=["']|\bhx-on\b|javascript:|["']js:""",
    re.IGNORECASE,
)
OWN_DOCUMENTS = {
    "pages/dossier_file.html": "a file that a reader opens from disk, with all it needs inside",
    "fragments/explore/_canvas.html": "its style stands in the drawing that is saved as a file",
}
"""Templates of documents that are saved and opened without this server, whose policy ends there."""


def test_no_template_holds_inline_style_or_script() -> None:
    named = {str(path.relative_to(TEMPLATES)): path for path in TEMPLATES.rglob("*.*")}
    assert len(named) > 100 and set(OWN_DOCUMENTS) <= set(named)
    found = {
        name: [one.group().strip() for one in INLINE.finditer(path.read_text(encoding="utf-8"))]
        for name, path in named.items()
    }
    assert {name for name, inline in found.items() if inline} == set(OWN_DOCUMENTS), found
    assert found["fragments/explore/_canvas.html"] == ["<style"]


@pytest.mark.parametrize(
    "text",
    [
        '<p style="color: red">',
        "<style>p {}</style>",
        "<script>go()</script>",
        '<a onclick="go()">',
        '<a hx-on:click="go()">',
        '<a href="javascript:go()">',
        """<p hx-vals='js:{a: 1}'>""",
    ],
)
def test_each_kind_of_inline_is_found(text: str) -> None:
    assert INLINE.search(text)
    assert not INLINE.search(f'<script src="/static/a.js" defer></script>{text[1]}')
