"""What an edit may have broken is asked once, under whatever name a set has it."""

from worker.contract.facts import Selection
from worker.contract.progress import Quiet
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation import side_effects
from worker.core.facts.relations import fact_set
from worker.core.findings import Job

JOB = Job(seed=0, report=Quiet())


def test_a_bundled_fact_that_the_set_has_under_another_relation_is_not_asked_twice(model) -> None:
    capitals = [f for f in fact_set().facts if f.relation == "city_country"][:6]
    brought = [f.model_copy(update={"relation": "", "group": "mine"}) for f in capitals]
    options = side_effects.Options(sentences=1, facts_per_relation=1000)
    selection = Selection(forget=tuple(brought[:2]), retain=tuple(brought[2:]))
    found = side_effects.evaluate(BeforeAfter(model), selection, options, JOB)
    asked = [row[0] for row in found.evaluation.facts.rows]
    assert len(asked) == len(set(asked)) == len(fact_set().facts) - 2
    assert not {f.id for f in brought[:2]} & set(asked)
