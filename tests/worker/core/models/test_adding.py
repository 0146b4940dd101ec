"""`lethe model add`: folders linked, hub models fetched, everything else refused in words."""

from pathlib import Path
from types import SimpleNamespace

import httpx2
import huggingface_hub
import pytest
from typer.testing import CliRunner

from tests.worker.core.models.families import make_model
from worker.cli import models as cli_model
from worker.contract.errors import UserError
from worker.contract.settings import settings
from worker.core.models.adding import add_folder, add_from_hub, remove
from worker.core.models.describe import list_models
from worker.core.models.load import load_model


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """A folder as a user has it, with more in it than Lethe may touch."""
    folder = tmp_path / "my-model"
    model = make_model("llama")
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Mine\n")
    (folder / "modeling_mine.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    return folder


def test_a_folder_is_added_by_links_to_what_may_be_read(brought: Path, tmp_path: Path) -> None:
    root = tmp_path / "data/models"
    info = add_folder(brought, root)
    assert (info.id, info.licence, info.n_layers) == ("my-model", "apache-2.0", 3)
    linked = {path.name for path in (root / "my-model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= linked
    assert not {"modeling_mine.py", "pytorch_model.bin"} & linked
    assert all(path.is_symlink() for path in (root / "my-model").iterdir())
    model = load_model("my-model", roots=[root])
    assert model.weights_hash == make_model("llama").weights_hash
    assert "my-model" in {found.id for found in list_models([root])}
    remove("my-model", root)
    assert (brought / "model.safetensors").exists() and not (root / "my-model").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("demo", "already"),
        ("taken", "already"),
        ("../out", "no name"),
        ("/abs", "no name"),
        (".hidden", "no name"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    brought: Path, tmp_path: Path, name: str, words: str
) -> None:
    root = tmp_path / "models"
    add_folder(brought, root, "taken")
    with pytest.raises(UserError, match=words):
        add_folder(brought, root, name)


def test_what_cannot_be_loaded_is_refused_and_leaves_nothing(brought: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    with pytest.raises(UserError, match="no folder"):
        add_folder(tmp_path / "nowhere", root)
    (brought / "tokenizer.json").rename(brought / "kept")
    with pytest.raises(UserError, match="has no tokenizer"):
        add_folder(brought, root)
    (brought / "model.safetensors").unlink()
    with pytest.raises(UserError, match="pickle can run code"):
        add_folder(brought, root)
    assert not root.exists()


def test_a_hub_model_is_fetched_by_revision_and_without_pickles(
    brought: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def fetch(id: str, *, revision: str, cache_dir: Path, allow_patterns: list[str]) -> str:
        asked.update(revision=revision, patterns=allow_patterns)
        folder = cache_dir / f"models--{id.replace('/', '--')}" / "snapshots" / revision
        add_folder(brought, folder.parent, revision)
        return str(folder)

    names = ["config.json", "model.safetensors"]
    listed = SimpleNamespace(sha="abc123", siblings=[SimpleNamespace(rfilename=n) for n in names])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, id, revision: listed)
    root = tmp_path / "models"
    info = add_from_hub("org/name", root, "main")
    assert info.id == "org/name" and asked["revision"] == "abc123"
    assert not any(p.endswith((".bin", ".py", ".pt")) for p in asked["patterns"])
    assert load_model("org/name", roots=[root]).revision == "abc123"
    names[:] = ["pytorch_model.bin"]
    listed.siblings = [SimpleNamespace(rfilename="pytorch_model.bin")]
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        add_from_hub("org/pickled", root)


def test_without_a_network_the_other_way_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(self: object, id: str, revision: str | None = None) -> None:
        raise httpx2.ConnectError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", nobody)
    with pytest.raises(UserError, match=r"the hub is not reached .*lethe model add PATH"):
        add_from_hub("org/name", tmp_path)


def test_a_hub_that_is_not_reached_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(self: object, id: str, revision: str | None) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", nobody)
    with pytest.raises(UserError, match="cannot be fetched: no route"):
        add_from_hub("org/name", tmp_path)


def test_the_commands_add_list_and_remove(
    brought: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path / "data"))
    settings.cache_clear()
    try:
        commands = CliRunner()
        added = commands.invoke(cli_model.app, ["add", str(brought), "--name", "org/mine"])
        assert added.exit_code == 0 and "org/mine: LlamaForCausalLM, 3 layers" in added.stdout
        assert "org/mine" in commands.invoke(cli_model.app, ["list"]).stdout
        assert commands.invoke(cli_model.app, ["remove", "org/mine"]).exit_code == 0
        assert "org/mine" not in commands.invoke(cli_model.app, ["list"]).stdout
    finally:
        settings.cache_clear()
