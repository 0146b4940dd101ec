"""Whether facts share so few answers that a probe can be trained to tell the answers apart."""

from collections import Counter
from collections.abc import Sequence

from worker.contract.facts import Fact

MIN_PER_ANSWER = 10


def shared_answers(facts: Sequence[Fact], pool: Sequence[Fact]) -> list[str]:
    """List the answers that enough facts of the pool share; empty where no fact has one of them."""
    counts = Counter(fact.target.strip() for fact in pool)
    common = sorted(answer for answer, n in counts.items() if n >= MIN_PER_ANSWER)
    own = {fact.target.strip() for fact in facts}
    return common if len(common) >= 2 and own & set(common) else []
