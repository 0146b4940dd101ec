"""Options that the stages of forgetting a text share."""

from pydantic import Field

from worker.contract.base import Options


class ReadingOptions(Options):
    """Which text, how it is reinforced, and by what its expressions are replaced."""

    text: str = Field(
        "saga",
        min_length=1,
        max_length=200,
        description="The text to forget: saga, which is bundled, or a stored text's name.",
    )
    dictionary: str = Field(
        "",
        max_length=200_000,
        description='Anchored expressions and counterparts as JSON, {"Merrin": "Anna"}; empty '
        "proposes them.",
    )
    counterparts: str = Field(
        "",
        max_length=50_000,
        description='Counterparts to propose, by type, as JSON: {"person": ["Anna", "Peter"]}; '
        "types that are not given keep their own list.",
    )
    alpha: float = Field(
        5.0,
        gt=0,
        le=100,
        description="α, how far the reinforced model's likelier tokens are pushed down (paper: 5).",
    )
    block: int = Field(
        128, ge=16, le=8192, description="Tokens per block of the text (paper: 512)."
    )
    reinforce_steps: int = Field(
        60, ge=1, le=10_000, description="Steps of reinforcing (paper: 3 epochs)."
    )
    reinforce_rate: float = Field(
        1e-3,
        gt=0,
        le=1,
        description="AdamW's rate for the adapter (paper: 3e-6 for all weights of 7 billion).",
    )
    reinforce_rank: int = Field(
        32, ge=1, le=4096, description="Rank of the adapter; the paper trains all weights instead."
    )
    reinforce_batch: int = Field(
        4, ge=1, le=512, description="Blocks per step of reinforcing (paper: 8, 16 times)."
    )
