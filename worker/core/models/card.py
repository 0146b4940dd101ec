"""What a model folder says of itself beside its weights: title, licence, tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_HEAD = 64_000
"""Characters of a card in which its YAML head is looked for."""
_KINDS = {"BPE": "BPE", "Unigram": "Unigram", "WordPiece": "WordPiece", "WordLevel": "words"}


def read_title(folder: Path) -> str:
    """The title in the folder's card.json, else empty."""
    return str(_read_json(folder / "card.json").get("title") or "")


def read_note(folder: Path) -> str:
    """What the folder's card.json says that a reader must know of the weights, else empty."""
    return str(_read_json(folder / "card.json").get("note") or "")


def read_licence(folder: Path) -> str:
    """The licence that card.json or the YAML head of README.md names, else empty."""
    card = _read_json(folder / "card.json")
    found = card.get("licence") or card.get("license") or _readme(folder).get("license")
    if isinstance(found, list):
        return ", ".join(map(str, found))
    return str(found or "")


def read_tokenizer(folder: Path) -> str:
    """The tokenizer's class, kind, vocabulary and what it puts before a prompt, in words."""
    settings = _read_json(folder / "tokenizer_config.json")
    name = str(settings.get("tokenizer_class") or "")
    if not (folder / "tokenizer.json").exists():
        return f"{name or 'tokenizer'} without tokenizer.json" if name else "none"
    made = _read_json(folder / "tokenizer.json")
    model = made.get("model") or {}
    kind = _KINDS.get(str(model.get("type")), str(model.get("type") or ""))
    words = [part for part in (kind, f"{len(model.get('vocab') or ()):,} entries") if part]
    return f"{name} ({', '.join(words)})".strip()


def _readme(folder: Path) -> dict[str, Any]:
    """The YAML head of a model card; nothing where there is none or it is no YAML."""
    import yaml

    try:
        text = (folder / "README.md").read_text(encoding="utf-8")[:MAX_HEAD]
    except (OSError, UnicodeDecodeError):
        return {}
    if not text.startswith("---\n"):
        return {}
    try:
        head = yaml.safe_load(text[4:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file; empty where there is none. What is damaged is said at loading."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
