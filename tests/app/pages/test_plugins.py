"""Plugins bring pages, figures and formats: README's examples, found, shown and refused."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from starlette.testclient import TestClient

from app import discovery
from app.drawing.drawing import Source
from tests.readme import examples
from worker.contract.errors import UserError
from worker.contract.plugins import public_modules

Plugins = Callable[..., Path]


@pytest.fixture
def brought(plugins: Plugins) -> Path:
    """Plugins that are there before anything else is."""
    return plugins(examples())


def test_a_page_of_a_plugin_shows_the_figure_of_a_plugin(
    brought: Path, client: TestClient, put: Callable[[str, Source], str], made: ModuleType
) -> None:
    assert "Nothing was localized yet." in client.get("/newest").text
    run = put("localize", made.localization_source())
    shown = client.get("/newest").text
    assert '<a href="/newest"' in shown and "<h1>Newest localization</h1>" in shown
    assert f'data-figure="/runs/{run}/figures/ranked_components"' in shown
    assert f"/runs/{run}/figures/ranked_components" in client.get(f"/runs/{run}/result").text
    drawn = client.get(f"/runs/{run}/figures/ranked_components.json").json()
    (bars,) = drawn["data"]
    assert bars["y"] == sorted(bars["y"], reverse=True) and len(bars["y"]) > 4
    csv = client.get(f"/runs/{run}/figures/ranked_components.csv").text.splitlines()
    assert len(csv) == 1 + len(bars["y"])


def test_the_file_picker_takes_the_format_of_a_plugin(brought: Path, client: TestClient) -> None:
    shown = client.get("/facts/upload").text
    assert ".bar" in shown.split('accept="')[1].split('"')[0] and "bars (.bar)" in shown
    lines = b"Ann Able|{} plays|golf\nBo|nobody|x\n"
    preview = client.post("/facts/upload", files={"file": ("mine.bar", lines)}).text
    assert "Ann Able" in preview and '<td class="number">2</td>' in preview


def test_a_page_at_an_address_that_is_taken_is_refused(plugins: Plugins) -> None:
    folder = plugins({"pages/mine.py": examples()["pages/newest.py"].replace("newest", "workers")})
    pages = discovery.modules("app.pages")
    with pytest.raises(UserError, match=r"mine\.py answers GET /workers, as .*workers\.py"):
        discovery.refuse_twice(pages)
    assert pages[-1].__file__ == str(folder / "pages/mine.py"), "Lethe's own come first"


@pytest.mark.parametrize("place", ["figures/curves.py", "pages/site.py", "api/_body.py"])
def test_a_plugin_of_a_taken_name_is_refused(plugins: Plugins, place: str) -> None:
    folder, name = plugins({place: "x = 1\n"}), Path(place).stem
    with pytest.raises(UserError, match=f"The plugin '{name}' in {folder}.* expected another name"):
        discovery.modules("app." + place.partition("/")[0])


def test_a_folder_that_is_not_there_is_refused(plugins: Plugins) -> None:
    import app.figures

    missing = plugins({})
    with pytest.raises(UserError, match=f"LETHE_PLUGINS names '{missing}', which is no folder"):
        public_modules(app.figures, "figures")
