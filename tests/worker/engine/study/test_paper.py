"""A study beside the paper's own figures."""

from worker.contract.result import Estimate
from worker.contract.study import ReportGroup, ReportMetric, StudyReport
from worker.engine.study.paper import COLUMNS, FIGURES, agreements, paper_value, sentences


def paper_like(measured: dict[str, Estimate]) -> StudyReport:
    """A study of fact lookup and others with these differences in multiple choice."""
    groups = ("fact_lookup", *measured)
    return StudyReport(
        model="demo", weights_hash="h", fact_set="athletes", forget="random:4", seeds=(0,),
        device="cpu", seconds=1, reference="fact_lookup",
        groups=tuple(ReportGroup(mask=g, method="ft", title=g, parameters=1) for g in groups),
        metrics=(ReportMetric(name="m", short="choice_edit", title="MCQ edit", better="higher"),),
        values=tuple(((0.5,),) for _ in groups),
        estimates=tuple((None,) for _ in groups),
        differences=((None,), *((found,) for found in measured.values())),
    )  # fmt: skip


def test_the_study_is_compared_with_the_papers_differences_by_sign_and_interval() -> None:
    report = paper_like(
        {
            "causal_tracing": Estimate(mean=0.4, low=0.3, high=0.5, n=5),
            "attribution_patching": Estimate(mean=0.1, low=-0.1, high=0.3, n=5),
            "random": Estimate(mean=-0.2, low=-0.3, high=-0.1, n=5),
        }
    )
    (one,) = agreements(report)
    assert one.agrees == ("causal_tracing",)
    assert one.open == ("attribution_patching",)
    assert one.opposes == ("random",)
    said = " ".join(sentences(report))
    assert "Of the 3 differences" in said and "1 is found here" in said
    assert "+0.40 [+0.30, +0.50] over causal_tracing (paper: +0.71)" in said
    assert "1 with the other sign" in said


def test_one_seed_agrees_with_nothing_and_says_so() -> None:
    alone = Estimate(mean=0.4, low=0.4, high=0.4, n=1)
    report = paper_like({"causal_tracing": alone})
    (one,) = agreements(report)
    assert one.open == ("causal_tracing",) and not one.agrees
    said = " ".join(sentences(report))
    assert "0 are found here" in said
    assert "+0.40 with one seed over causal_tracing (paper: +0.71)" in said


def test_the_papers_figures_are_those_of_its_table() -> None:
    assert paper_value("fact_lookup", "choice_edit") == 0.862
    assert paper_value("everything", "relearn_retain") == 0.643
    assert paper_value("fact_lookup", "latent_true") is None
    assert all(len(row) == 8 for row in FIGURES.values())
    across = {mask: round(sum(row), 3) for mask, row in FIGURES.items()}
    down = [round(sum(column), 3) for column in zip(*FIGURES.values(), strict=True)]
    assert across == {
        "fact_lookup": 4.523, "causal_tracing": 4.243, "causal_tracing_mlps": 4.69,
        "attribution_patching": 4.912, "attribution_patching_mlps": 5.271, "random": 3.697,
        "random_mlps": 4.574, "all_mlps": 3.679, "everything": 3.908,
    }  # fmt: skip
    assert down == [0.718, 8.088, 7.555, 3.259, 3.007, 5.595, 4.169, 7.106]


def test_small_differences_of_the_paper_and_other_references_decide_nothing() -> None:
    near = {"all_mlps": Estimate(mean=0.4, low=0.3, high=0.5, n=5), "unknown": None}
    report = paper_like(near)
    assert [one.agrees for one in agreements(report)] == [("all_mlps",)]
    retain = ReportMetric(name="m", short="relearn_retain", title="R", better="higher")
    assert agreements(report.model_copy(update={"metrics": (retain,)})) == [], "−.011 is not clear"
    assert agreements(report.model_copy(update={"reference": "random"})) == []
    none = report.model_copy(update={"metrics": (retain.model_copy(update={"short": "latent"}),)})
    assert agreements(none) == sentences(none) == []


def test_an_interval_that_ends_at_nothing_is_open_and_a_negative_difference_may_agree() -> None:
    def of(short: str, mean: float, low: float, high: float) -> str:
        report = paper_like({"causal_tracing": Estimate(mean=mean, low=low, high=high, n=5)})
        metric = ReportMetric(name="m", short=short, title="M", better="lower")
        [one] = agreements(report.model_copy(update={"metrics": (metric,)}))
        return next(n for n in ("agrees", "opposes", "open") if getattr(one, n))

    assert of("forget", -0.3, -0.5, -0.1) == "agrees"
    assert of("forget", -0.3, -0.5, 0.0) == "open"
    assert of("forget", 0.3, 0.0, 0.5) == "open"
    assert of("forget", 0.3, 0.1, 0.5) == "opposes"


def test_the_aim_is_said_for_the_masks_that_it_is_about() -> None:
    report = paper_like(
        {
            "causal_tracing": Estimate(mean=-0.4, low=-0.5, high=-0.3, n=5),
            "attribution_patching": Estimate(mean=0.1, low=0.05, high=0.3, n=5),
            "random": Estimate(mean=0.2, low=0.1, high=0.3, n=5),
        }
    )
    counted, aim = sentences(report)
    assert "2 are found here" in counted and "1 with the other sign" in counted
    assert aim == (
        "In multiple choice fact lookup gives the edit answer −0.40 [−0.50, −0.30] over "
        "causal_tracing (paper: +0.71) and +0.10 [+0.05, +0.30] over attribution_patching "
        "(paper: +0.78)."
    )
    metric = report.metrics[0].model_copy(update={"short": "choice_forget"})
    assert len(sentences(report.model_copy(update={"metrics": (metric,)}))) == 1
    only = paper_like({"random": Estimate(mean=0.2, low=0.1, high=0.3, n=5)})
    assert len(sentences(only)) == 1


def test_a_mask_or_column_that_the_paper_has_not_has_no_figure() -> None:
    assert paper_value("lookup", "forget") is paper_value("random", "latent") is None
    assert paper_value("random", "forget") == 0.037
    assert COLUMNS == (
        "forget", "edit", "retain", "choice_forget", "choice_edit", "choice_retain",
        "relearn_forget", "relearn_retain",
    )  # fmt: skip
