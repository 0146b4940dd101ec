"""What a row says about its seam: how its prompt ends, how its answer begins, and its `join`."""

from collections.abc import Mapping
from typing import Any, get_args

from worker.contract.joining import Join, why_close

_RULE = ("", "auto", "rule", "default")


def kept_end(written: Any, text: str) -> str:
    """Give a trimmed text its own end back: a new line, a tab or a space before the answer."""
    if not isinstance(written, str):
        return text
    return text + written[len(written.rstrip()) :]


def read_seam(values: Mapping[str, str], written: Mapping[str, Any]) -> dict[str, str]:
    """Return prompt, target, edit target and join so that what was written at the seam stands.

    `values` are trimmed cells, `written` the same cells as they were. An answer written with a
    space before it has one, also where the rule would put none. ValueError for a join that is none.
    """
    join = read_join(values.get("join", ""))
    found = {"prompt": kept_end(written.get("prompt"), values["prompt"]), "join": join}
    target = written.get("target")
    if join == "as written":
        answers = {k: written.get(k, "") for k in ("target", "edit_target")}
        return found | {k: v for k, v in answers.items() if isinstance(v, str) and v.strip()}
    if join or not isinstance(target, str) or not target[:1].isspace():
        return found
    if found["prompt"][-1:].isspace():
        return found
    before = target[: len(target) - len(target.lstrip())]
    if before.strip(" "):
        found["prompt"] += before
    elif why_close(found["prompt"], values["target"]):
        found["join"] = "space"
    return found


def read_join(text: str) -> Join:
    """Read a cell of the column `join`; ValueError with what there is."""
    plain = text.strip().lower().replace("_", " ")
    if plain in _RULE:
        return ""
    for known in get_args(Join):
        if plain == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(
        f"join is {text[:40]!r}; expected space, none, as written, or nothing for the rule"
    )
