"""The options that every gradient method shares: schedule, batches, weights, stopping, search."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from worker.contract.base import Options


class Training(Options):
    """How long, how fast and on how many rows a gradient method trains.

    Defaults suit the bundled model (2 million parameters); a method's own file overrides those
    that its paper sets otherwise.
    """

    BY_WIDTH: ClassVar[tuple[str, ...]] = ("learning_rate",)
    """Options whose defaults are divided by how much wider a model is than the bundled one."""
    BY_STEPS: ClassVar[tuple[str, ...]] = ()
    """Options whose defaults are multiplied by how much fewer the steps are than by default."""
    REHEARSED: ClassVar[dict[str, Any]] = {}
    """Options of the method's own with which a trial of a search is cheaper."""

    steps: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Optimizer steps. Guo et al. 2024 take 50 on models of 7–9 billion parameters; "
        "100 was measured to suit the bundled model.",
    )
    learning_rate: float = Field(
        2e-3,
        gt=0,
        le=1,
        description="Peak learning rate of AdamW, falling to 0 by a cosine. Guo et al. 2024 take "
        "2e-6 to 1e-4 for billions of parameters; 2e-3 was measured to suit the bundled model.",
    )
    weight_decay: float = Field(
        0.0, ge=0, le=1, description="AdamW's weight decay on the mask's parameters (paper: 0)."
    )
    clip: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="Gradient norm above which gradients are scaled down (paper: 1).",
    )
    forget_batch: int = Field(
        16,
        ge=1,
        le=512,
        description="Forget facts per backward pass (paper: 4, accumulated 16 times).",
    )
    retain_batch: int = Field(
        16,
        ge=1,
        le=512,
        description="Retain facts per backward pass (paper: 4, accumulated 16 times).",
    )
    general_batch: int = Field(
        8, ge=1, le=512, description="General sentences per backward pass (paper: 4, 16 times)."
    )
    accumulation: int = Field(
        1, ge=1, le=256, description="Backward passes per optimizer step (paper: 16 of 4 rows)."
    )
    forget_weight: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="λ, the weight of the forget term. Guo et al. 2024 sweep 0.1 to 5.",
    )
    retain_weight: float = Field(
        1.0, ge=0, le=1000, description="Weight of the retain facts' cross entropy (paper: 1)."
    )
    general_weight: float = Field(
        1.0, ge=0, le=1000, description="Weight of the general text's term (paper: 1)."
    )
    general_loss: Literal["auto", "cross_entropy", "divergence"] = Field(
        "auto",
        description="What the general text's term is. Cross entropy (paper) makes the text "
        "likelier than it was; divergence, KL(base ‖ now), holds the model to what it said of it. "
        "Auto: cross entropy on the bundled model, which was made from such sentences, and "
        "divergence on every other.",
    )
    retain_facts: int = Field(
        256, ge=1, le=100_000, description="Retain facts that the training draws from, at most."
    )
    general_sentences: int = Field(
        256,
        ge=1,
        le=100_000,
        description="Passages of ordinary text that the training draws from, at most.",
    )
    general_text: str = Field(
        "",
        max_length=1_000_000,
        description="Your own ordinary text, one passage per line; empty takes the project's "
        "English, or for the bundled model the sentences that it was made from.",
    )
    context: int = Field(
        100, ge=8, le=8192, description="Tokens of a general sentence that are used (paper: 100)."
    )
    probe_every: int = Field(
        10, ge=1, le=10_000, description="Steps between quick probes of forget and retain facts."
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Which quick-probed checkpoint is kept. Best: highest product of the goal (the "
        "edit target's probability, or 1 − target's on forget facts) and retain probability.",
    )
    stop_goal: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Stop once the goal probability reaches this; 0 never stops early.",
    )
    max_seconds: float = Field(
        0.0, ge=0, description="Stop after this many seconds; 0 is no limit."
    )
    retain_floor: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Stop as lost once retain probability falls below this share of what it was.",
    )
    search: Literal["auto", "off", "small"] = Field(
        "auto",
        description="Auto: where no learning rate is given and the model is not the bundled one, "
        "rate, forget weight and steps are searched first, on facts that are neither forgotten nor "
        "asked later, at the cost of three to seven trainings. Off: as given. Small: try the "
        "learning rate × and ÷ 3 and two forget weights (× and ÷ 2.5 of the given ones), keep the "
        "best by the product of goal and retain probability, and report every trial.",
    )
