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
