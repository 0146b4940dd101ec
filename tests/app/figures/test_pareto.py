"""The front of a study: which groups no other beats, whichever direction is better."""

import pytest

from app.drawing.pareto import draw_pareto, front
from worker.contract.errors import UserError
from worker.contract.result import Direction, Estimate
from worker.contract.study import ReportGroup, ReportMetric, StudyReport


def metric(short: str, better: Direction) -> ReportMetric:
    return ReportMetric(name=short, short=short, title=short.title(), better=better)


HIGHER, LOWER = metric("retain", "higher"), metric("forget", "lower")


def test_the_front_holds_whom_no_other_beats_in_both() -> None:
    points = [(0.9, 0.2), (0.8, 0.1), (0.7, 0.15), (0.95, 0.5)]
    assert front(points, (HIGHER, LOWER)) == [3, 0, 1]
    assert front(points, (HIGHER, metric("edit", "higher"))) == [3]


def test_equal_points_do_not_beat_each_other() -> None:
    assert front([(0.5, 0.5), (0.5, 0.5)], (HIGHER, LOWER)) == [0, 1]


def report(means: list[tuple[float, float]]) -> StudyReport:
    estimates = [
        tuple(Estimate(mean=v, low=v - 0.1, high=v + 0.05, n=3) for v in pair) for pair in means
    ]
    return StudyReport(
        model="demo", weights_hash="h", fact_set="x", forget="first:4", seeds=(0, 1, 2),
        device="cpu", seconds=1, metrics=(HIGHER, LOWER),
        groups=tuple(
            ReportGroup(mask=f"m{i}", method="ft", title=f"Mask {i}", parameters=1)
            for i in range(len(means))
        ),
        values=tuple(((v,), (w,)) for v, w in means),
        estimates=tuple(estimates),
    )  # fmt: skip


def test_each_group_stands_at_its_means_with_both_intervals() -> None:
    drawing = draw_pareto(report([(0.9, 0.2), (0.6, 0.1), (0.5, 0.4)]), "retain", "forget")
    line, first = drawing.figure()["data"][:2]
    assert list(line["x"]) == [0.9, 0.6] and list(line["y"]) == [0.2, 0.1]
    assert list(first["x"]) == [0.9] and first["error_y"]["arrayminus"][0] == pytest.approx(0.1)
    assert (
        "Mask 0, Mask 1" in drawing.caption and "Down and to the right is better" in drawing.caption
    )
    assert [row[-1] for row in drawing.cells.rows] == ["yes", "yes", "no"]


def test_groups_of_one_seed_have_no_interval_in_the_table_nor_in_what_is_said() -> None:
    plain = report([(0.9, 0.2), (0.6, 0.1)])
    alone = tuple(
        tuple(
            one and one.model_copy(update={"low": one.mean, "high": one.mean, "n": 1})
            for one in row
        )
        for row in plain.estimates
    )
    drawing = draw_pareto(plain.model_copy(update={"estimates": alone}), "retain", "forget")
    assert drawing.cells.rows[0] == ("Mask 0", 0.9, None, None, 0.2, None, None, "yes")
    assert "[" not in drawing.figure()["data"][1]["hovertemplate"]


def test_marks_grow_with_parameters_and_small_differences_are_not_blown_up() -> None:
    plain = report([(0.999, 0.2), (0.998, 0.6)])
    close = tuple(
        (Estimate(mean=a, low=a, high=a, n=3), b)
        for a, (_, b) in zip((0.999, 0.998), plain.estimates, strict=True)
    )
    groups = tuple(
        group.model_copy(update={"parameters": p})
        for group, p in zip(plain.groups, (100.0, 400.0), strict=True)
    )
    drawing = draw_pareto(
        plain.model_copy(update={"estimates": close, "groups": groups}), "retain", "forget"
    ).figure()
    small, large = (trace["marker"]["size"] for trace in drawing["data"] if "marker" in trace)
    assert small == pytest.approx(13) and large == pytest.approx(18)
    left, right = drawing["layout"]["xaxis"]["range"]
    assert right - left >= 0.2 and left < 0.998 and right > 0.999
    assert "range" not in drawing["layout"]["yaxis"]


def test_an_unknown_metric_names_those_there_are() -> None:
    with pytest.raises(UserError, match="retain, forget"):
        draw_pareto(report([(0.9, 0.2)]), "retain", "forgt")
