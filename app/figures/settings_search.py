"""The search for an edit's settings: what each learning rate did, and which one was taken."""

from collections.abc import Mapping

from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_lines
from worker.contract.result import Result

TITLE = "The search for settings"
CURVES = ("settings.goal", "settings.retain", "settings.divergence")


def offers(result: Result) -> list[Offer]:
    """One offer where an edit's settings were searched."""
    return [Offer("settings_search", TITLE)] if "settings.goal" in result.arrays else []


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw goal, retain share and divergence over the rates tried; the one taken is shaded."""
    rates = source.info("settings.goal").axes[0].labels or ()
    summary = source.result.summary
    taken = f"{summary.get('settings.learning_rate', 0):g}"
    places = [float(i) for i, rate in enumerate(rates) if rate == taken]
    return draw_lines(
        Chart(
            title=TITLE,
            caption=(
                f"What trainings on facts that stand in for the forget facts did at each learning "
                f"rate: the goal's probability, the share left of the watched retain facts' "
                f"probability, and the divergence from the base on ordinary text. Shaded: the "
                f"rate that was taken, {taken}. Gaps are trials that were lost. The forget weight "
                f"and the steps are in the table."
            ),
            x_title="learning rate",
            x=tuple(float(i) for i in range(len(rates))),
            labels=rates,
            y_title="probability, share; nats per token",
            series=tuple(
                Series(source.info(name).title or name, source.array(name).astype(float))
                for name in CURVES
            ),
            marked=tuple((place, place) for place in places),
        )
    )
