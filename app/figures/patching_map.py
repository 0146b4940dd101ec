"""Patching one prompt's states into another: token rows × layer columns, or layers × heads."""

from collections.abc import Mapping

from app.drawing.ask import choose
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.words import show_token
from worker.contract.result import Result

SITES = {
    "resid": "residual stream",
    "attn": "attention",
    "mlp": "MLP",
    "head": "heads (all tokens)",
}
METRICS = {
    "logit_diff": "logit difference",
    "logit": "logit of the target",
    "probability": "probability of the target",
}
SCALES = {"share": "normalized", "raw": "raw"}
DIRECTIONS = {
    "denoising": "clean into corrupted",
    "noising": "corrupted into clean",
}
HOOKS = {"resid": "hook_resid_post", "mlp": "mlp", "attn": "attn"}


def offers(result: Result) -> list[Offer]:
    """One offer where the result holds a map of patches."""
    sites = _sites(result)
    if not sites:
        return []
    controls = (
        Control("map", "Where", tuple((s, SITES[s]) for s in sites), sites[0]),
        Control("metric", "Metric", tuple(METRICS.items()), "logit_diff"),
        Control("scale", "Scale", tuple(SCALES.items()), "share"),
    )
    return [Offer("patching_map", "Patched states", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw one site's map by one metric."""
    view = source.result.view
    site = choose(ask, "map", _sites(source.result))
    metric, scale = choose(ask, "metric", list(METRICS)), choose(ask, "scale", list(SCALES))
    name = f"patch.{site}.{metric}"
    is_share = scale == "share" and f"{name}.share" in source.result.arrays
    values = source.array(f"{name}.share" if is_share else name)
    told = view["metrics"][metric]
    words = f"{METRICS[metric]}{', normalized' if is_share else ''}"
    grid = Grid(
        title=f"Patching {SITES[site]}: {words}",
        caption=(
            f"{DIRECTIONS[view['direction']].capitalize()}: the {METRICS[metric]} after one state "
            f"is put in. Clean {told['clean']:.3g}, corrupted {told['corrupted']:.3g}"
            f"{'; 0 is the unpatched run, 1 the run a state comes from' if is_share else ''}."
        ),
        rows=_tokens(view) if site != "head" else _numbers("layer", values.shape[0]),
        columns=_numbers(
            "head" if site == "head" else "layer", values.shape[1 if site == "head" else 0]
        ),
        values=values if site == "head" else values.T,
        colours=Colours.over([values], words, signed=metric != "probability" or is_share),
        value_title=words,
        name_format="blocks.{row}.attn.head.{column}"
        if site == "head"
        else f"blocks.{{column}}.{HOOKS[site]}",
    )
    return draw_grid(grid)


def _sites(result: Result) -> list[str]:
    return [site for site in SITES if f"patch.{site}.probability" in result.arrays]


def _tokens(view: Mapping[str, object]) -> Side:
    prompts = view["prompts"]
    assert isinstance(prompts, list)
    positions = view.get("positions")
    first, end = positions if isinstance(positions, list) else (0, None)
    tokens = prompts[0]["tokens"][first:end]
    return Side(
        "token",
        tuple(f"{first + i} {show_token(str(one['text']))}" for i, one in enumerate(tokens)),
        bold=frozenset(i for i, one in enumerate(tokens) if one["subject"]),
    )


def _numbers(title: str, n: int) -> Side:
    return Side(title, tuple(map(str, range(n))), numbered=False)
