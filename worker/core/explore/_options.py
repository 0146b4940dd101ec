"""The options that every view of a prompt has: the prompts, the answers, what is switched on."""

from __future__ import annotations

from pydantic import Field

from worker.contract import base
from worker.contract.interventions import MOST, Intervention

Span = tuple[int, int]


class SubjectOptions(base.Options):
    """What is looked at. Empty answers are proposed from what the model says."""

    prompt: str = Field("", max_length=200_000, description="The prompt, as it is typed.")
    corrupted: str = Field(
        "",
        max_length=200_000,
        description="A second prompt, to compare with; for patching of as many tokens.",
    )
    noise: bool = Field(
        False,
        description="Corrupt by Gaussian noise on the subject's embeddings instead of by a second "
        "prompt.",
    )
    noise_level: float = Field(
        3.0, gt=0, le=100, description="Noise in standard deviations of the subject's embeddings."
    )
    subject: str = Field(
        "", max_length=2000, description="The prompt's words that are its subject."
    )
    target: str = Field(
        "", max_length=2000, description="The answer that is measured; empty: the likeliest."
    )
    target_ids: tuple[int, ...] = Field(
        (), max_length=64, description="The answer as tokens, in place of its text."
    )
    distractor: str = Field(
        "",
        max_length=2000,
        description="The answer that it is compared with; empty: the corrupted prompt's likeliest, "
        "or the second.",
    )
    distractor_ids: tuple[int, ...] = Field(
        (), max_length=64, description="The same as tokens, in place of its text."
    )
    interventions: tuple[Intervention, ...] = Field(
        (),
        max_length=MOST,
        description="What is switched on inside the model: zero, mean or resample ablations, "
        "patches, scalings, directions, on components, heads, neurons or tokens.",
    )
