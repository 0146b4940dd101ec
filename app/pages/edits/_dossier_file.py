"""A dossier as one file that opens without a server: styles, fonts, drawings and scripts inside.

They stand inline, which no page's policy takes: the file is a document of its own, which is saved
and opened from disk, where nothing lies beside it and the server's policy does not reach.
"""

import base64
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from markupsafe import Markup

from app.drawing.find import draw
from app.pages.runs.results import source_of
from app.templating import STATIC, render_fragment
from worker.contract.errors import NotFound
from worker.store.store import Store

SCRIPTS = ("vendor/plotly-cartesian-4.1.1.min.js", "figures.js")
_ANCHOR = re.compile(r"<a\b[^>]*>(.*?)</a>", re.DOTALL)
_FONT = re.compile(r"url\(\"(vendor/[\w.-]+\.woff2)\"\) format\(\"woff2\"\)")


def dossier_file(store: Store, known: dict[str, Any]) -> str:
    """The whole file, of what the dossier's page shows; its figures are drawn here and put in."""
    for figure in _figures(known):
        _put_in(store, figure)
    story = render_fragment("fragments/dossier_file.html", **known, offline=True)
    return render_fragment(
        "pages/dossier_file.html",
        **known,
        # Addresses of this server lead nowhere for whoever opens the file; their words stay.
        story=Markup(_ANCHOR.sub(r"\1", story)),
        style=Markup(_style()),
        theme=_script("theme.js"),
        scripts=[_script(name) for name in SCRIPTS],
    )


def _figures(known: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield from known["verdict_figures"]
    yield from known["curves"]
    if known["located"]:
        yield from known["located"]["figures"]
    for one in known["probed"]:
        yield from one["figures"]


def _put_in(store: Store, figure: dict[str, Any]) -> None:
    """Draw a figure into its frame: what plotly draws, and its table."""
    run_id = figure["address"].split("/")[2]
    result = store.result(run_id)
    assert result is not None
    asked = dict(parse_qsl(figure["fixed"]))
    try:
        drawing = draw(figure["offer"].figure, source_of(run_id, result, store), asked)
    except NotFound as error:
        figure["drawn"], figure["missing"] = None, error.message
        return
    figure["drawn"], figure["table"] = drawing.figure(), drawing.table


def _style() -> str:
    """The stylesheet with its fonts inside."""

    def inside(found: re.Match[str]) -> str:
        data = base64.b64encode((STATIC / found[1]).read_bytes()).decode()
        return f'url("data:font/woff2;base64,{data}") format("woff2")'

    return _FONT.sub(inside, (STATIC / "lethe.css").read_text(encoding="utf-8"))


def _script(name: str) -> Markup:
    """A script's text as it may stand inside a page: nothing in it ends the element."""
    text = (STATIC / name).read_text(encoding="utf-8")
    return Markup(
        re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE).replace("<!--", "<\\!--")
    )
