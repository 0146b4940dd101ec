"""The sites of a block and the layers, as figures name them."""

from app.drawing.heatmap import Side
from worker.contract.result import ArrayInfo, Attribution, Result

SITES = {"resid": "residual stream", "mlp": "MLP", "attn": "attention"}


def layers(n_layers: int) -> Side:
    """The layers as one side of a grid, from 0."""
    return Side("layer", tuple(str(i) for i in range(n_layers)), numbered=False)


def sites_of(result: Result, array: str) -> list[str]:
    """Sites for which the result has the array, in the order of a block, others after."""
    found = [n.partition(".")[2] for n in result.arrays if n.startswith(f"{array}.")]
    order = list(SITES)
    return sorted(found, key=lambda s: order.index(s) if s in order else len(order))


def site_title(site: str) -> str:
    """A site in words."""
    return SITES.get(site, site)


def unit_of(info: ArrayInfo, attribution: Attribution) -> str:
    """The unit of an array, for a colour bar."""
    return info.unit or attribution.unit
