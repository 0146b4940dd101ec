"""Which facts a model knows: how that is asked, and from which bounds on it counts."""

from typing import Literal

from pydantic import Field

from worker.contract.base import Contract

Shot = Literal["none", "one", "best"]
"""Whether a prompt stands alone, after another fact of its relation, or as it is answered best."""
Asked = Literal["none", "one"]
"""The ways in which a fact was asked: bare, or after one shot."""
Among = Literal["vocabulary", "answers"]


class Known(Contract):
    """From when on a fact counts as known, among what its answer is compared with."""

    among: Among = Field(
        "vocabulary",
        description="vocabulary: the whole target's probability and its first token's rank among "
        "all tokens. answers: its share and place among the answers that the set's facts of this "
        "relation have.",
    )
    probability: float = Field(
        0.5, ge=0, le=1, description="Probability, or share among the answers, from which on."
    )
    rank: int = Field(
        0, ge=0, le=1_000_000, description="Rank or place up to which; 0 takes any rank."
    )

    def holds(self, one: "Recalled") -> bool:
        """Say whether a fact that is recalled so is known."""
        value, place = (
            (one.probability, one.rank) if self.among == "vocabulary" else (one.share, one.place)
        )
        return value >= self.probability and (not self.rank or place <= self.rank)

    @property
    def holds_always(self) -> bool:
        """Whether every fact that can be asked counts as known, so that none need be asked."""
        return self.probability == 0 and self.rank == 0

    @property
    def words(self) -> str:
        """The bounds as the end of a sentence."""
        what = "probability" if self.among == "vocabulary" else "share among the answers"
        rank = f" and a rank of at most {self.rank}" if self.rank else ""
        return f"a {what} of at least {self.probability:g}{rank}"


BUNDLED_MODEL = "demo"
"""The model that was trained on the bundled facts: nobody asks whether it knows what to retain."""
RETAINED = Known(probability=0.1)
"""What a fact must be to be retained where a spec does not say: known at all."""


class Recalled(Contract):
    """How a model answers one fact's prompt."""

    probability: float
    """Of the whole target among all tokens."""
    rank: int
    """Of the target's first token among all tokens; 1 is the model's own choice."""
    share: float
    """Of the target among the answers that the set's facts of its relation have."""
    place: int
    """Of the target among these answers; 1 is the likeliest."""
    says: str = ""
    """The likeliest next token."""
