"""Many facts in one picture: token roles × layers, means over the facts."""

from collections.abc import Mapping

from app.drawing.ask import choose, is_on
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from app.drawing.sites import layers, site_title, sites_of, unit_of
from worker.contract.result import Result


def offers(result: Result) -> list[Offer]:
    """One offer where the result has means by token role."""
    sites = sites_of(result, "roles")
    if not sites or result.attribution is None:
        return []
    controls = (
        Control("site", "Where", tuple((s, site_title(s)) for s in sites), sites[0]),
        Control("lock", "Same colours for all sites"),
        Control("transpose", "Layers down"),
    )
    return [Offer("roles_heatmap", "All facts: token role × layer", controls=controls)]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the site that is asked for, by default the first."""
    sites = sites_of(source.result, "roles")
    site = choose(ask, "site", sites)
    attribution = source.result.attribution
    assert attribution is not None
    info = source.info(f"roles.{site}")
    values = source.array(f"roles.{site}")
    locked = is_on(ask, "lock")
    ranged = [source.array(f"roles.{s}") for s in sites] if locked else [values]
    caption = (
        f"{attribution.direction} Means over {len(attribution.facts)} facts of each layer's "
        f"{site_title(site)}, by what the token is: tokens of one role are averaged within a "
        f"fact first."
    )
    grid = Grid(
        title=f"{site_title(site)}: token role × layer",
        caption=caption + (" One colour range for all sites." if locked else ""),
        rows=Side("token role", info.axes[1].labels or (), numbered=False),
        columns=layers(values.shape[0]),
        values=values.T,
        colours=Colours.over(ranged, unit_of(info, attribution), info.signed),
        value_title=unit_of(info, attribution),
    )
    return draw_grid(grid, is_on(ask, "transpose"))
