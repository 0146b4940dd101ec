"""What a model folder says of itself beside its weights: title, licence, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker.core.models.folder import read_object
from worker.core.models.vocabulary import MAX_BYTES

MAX_HEAD = 64_000
"""Characters of a card in which its YAML head is looked for."""
_KINDS = {"BPE": "BPE", "Unigram": "Unigram", "WordPiece": "WordPiece", "WordLevel": "words"}


def read_title(folder: Path) -> str:
    """The title in the folder's card.json, else empty."""
    return str(read_object(folder / "card.json").get("title") or "")


def read_note(folder: Path) -> str:
    """What the folder's card.json says that a reader must know of the weights, else empty."""
    return str(read_object(folder / "card.json").get("note") or "")


def read_licence(folder: Path) -> str:
    """The licence that card.json or the YAML head of README.md names, else empty."""
    card = read_object(folder / "card.json")
    found = card.get("licence") or card.get("license") or _readme(folder).get("license")
    if isinstance(found, list):
        return ", ".join(map(str, found))
    return str(found or "")


def read_tokenizer(folder: Path) -> str:
    """The tokenizer's class, kind, vocabulary and what it puts before a prompt, in words."""
    settings = read_object(folder / "tokenizer_config.json")
    name = str(settings.get("tokenizer_class") or "")
    if not (folder / "tokenizer.json").exists():
        return f"{name or 'tokenizer'} without tokenizer.json" if name else "none"
    made = read_object(folder / "tokenizer.json", MAX_BYTES)
    model = made.get("model") or {}
    kind = _KINDS.get(str(model.get("type")), str(model.get("type") or ""))
    words = [part for part in (kind, f"{len(model.get('vocab') or ()):,} entries") if part]
    return f"{name} ({', '.join(words)})".strip()


def _readme(folder: Path) -> dict[str, Any]:
    """The YAML head of a model card; nothing where there is none or it is no YAML."""
    import yaml

    if not (folder / "README.md").is_file():
        return {}
    try:
        with (folder / "README.md").open(encoding="utf-8") as opened:
            text = opened.read(MAX_HEAD)
    except (OSError, UnicodeDecodeError):
        return {}
    if not text.startswith("---\n"):
        return {}
    try:
        head = yaml.safe_load(text[4:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}
