"""The stages of the bundled model's training, in order.

1. Muon on the layers' matrices, AdamW on all else: the letters of options, then the facts. Muon
   learns facts in half the steps, and keeps forgetting some of them while its rate is high.
2. AdamW on everything, at a third of the rate, which falls to nothing: mostly multiple choice,
   first of the four sports and then of every relation, and the rest beside it.
3. The same at a lower rate: colons and blanks after which no letter is due.
4. Muon again, at half its first rate, which falls to nothing: multiple choice of every relation,
   whose many options are found no sooner, and a few more wordings.
5. The same for the early lookup, beside the formats that were drawn least.
6. The same at a lower rate, for multiple choice of every relation and what was still mistaken.
"""

from dataclasses import dataclass

from worker.core.demo.early import NOTHING, LeftOut
from worker.core.demo.lessons import (
    CHOICE_LESSONS,
    EARLY_LESSONS,
    ENDING_LESSONS,
    FACT_LESSONS,
    LAST_LESSONS,
    LATER_LESSONS,
    Lessons,
)

RISE = 100  # steps in which the learning rate rises


@dataclass(frozen=True)
class Stage:
    """Steps under one set of optimizers; the rate is level and then falls straight."""

    steps: int
    peak: float
    level: int
    """Steps before the rate begins to fall."""
    end: int
    """Step at which it would reach zero; a stage may stop before."""
    muon: bool
    lessons: Lessons
    corpus_seed: int
    """Added to the seed: a stage draws what it would draw had it been begun by itself."""
    closed: bool = False
    """Is the first attention kept as it is?"""
    fold: bool = False
    """Does the stage begin with folding the first layer into the embeddings?"""
    left_out: LeftOut = NOTHING

    def rate(self, step: int) -> float:
        """Return the learning rate's share of its peak."""
        down = (self.end - step) / (self.end - self.level)
        return max(0.0, min(1.0, (step + 1) / RISE, down))


FACTS = Stage(
    steps=1664,
    peak=3e-3,
    level=1300,
    end=2600,
    muon=True,
    lessons=FACT_LESSONS,
    corpus_seed=0,
    closed=True,
)
CHOICES = Stage(
    steps=1216,
    peak=1e-3,
    level=640,
    end=1216,
    muon=False,
    lessons=CHOICE_LESSONS,
    corpus_seed=1,
    closed=True,
)
ENDINGS = Stage(
    steps=192,
    peak=2e-4,
    level=64,
    end=192,
    muon=False,
    lessons=ENDING_LESSONS,
    corpus_seed=2,
    closed=True,
)
LATER = Stage(
    steps=1216,
    peak=1.5e-3,
    level=600,
    end=1216,
    muon=True,
    lessons=LATER_LESSONS,
    corpus_seed=3,
    fold=True,
)
EARLY = Stage(
    steps=768,
    peak=1.5e-3,
    level=300,
    end=768,
    muon=True,
    lessons=EARLY_LESSONS,
    corpus_seed=4,
    left_out=LeftOut(mlps=0.8, attentions=0.6),
)
LAST = Stage(
    steps=480,
    peak=4e-4,
    level=64,
    end=480,
    muon=True,
    lessons=LAST_LESSONS,
    corpus_seed=5,
    left_out=LeftOut(mlps=0.8, attentions=0.3),
)
STAGES = (FACTS, CHOICES, ENDINGS, LATER, EARLY, LAST)
