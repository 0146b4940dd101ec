"""The verdict on a result's page: every answer with its rule, linked to its number."""

from worker.contract.result import Evaluation, Table


def test_every_answer_is_linked_to_its_number_and_states_its_rule(client, put, made) -> None:
    source = made.evaluation_source()
    verdict = Evaluation(
        name="verdict", title="Verdict", caption="Verdict: gone.", aggregates=(),
        tables={"verdict": Table(
            title="Verdict",
            columns=("question", "answer", "number", "value", "rule"),
            rows=(("Is it still said?", "no", "verdict.said.after", 0.02, "yes above 0.3"),),
        ), "continuations": Table(
            title="How it goes on", columns=("prompt", "before"), rows=(("Once", "upon"),),
        )},
    )  # fmt: skip
    result = source.result.model_copy(
        update={"evaluations": {"verdict": verdict}, "summary": {"verdict.said.after": 0.02}}
    )
    run_id = put("evaluate", type(source)(result, source.open))
    page = client.get(f"/runs/{run_id}/result").text
    assert '<a class="mono" href="#number-verdict.said.after">' in page
    assert 'id="number-verdict.said.after"' in page
    assert "yes above 0.3" in page
    assert page.index("yes above 0.3") < page.index("<h3>How it goes on</h3>")
    assert "<h3>Verdict</h3>" not in page, "the section's own heading stands over the first table"
