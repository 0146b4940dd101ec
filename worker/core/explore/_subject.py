"""The prompts and answers that a view looks at, checked and run once.

Answers of several tokens are scored whole: each token is asked after the prompt and the answer's
tokens before it, so a prompt stands in one row per proper beginning of an answer (`contexts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError
from worker.core.explore._asked import Answer, cut_answer, cut_prompt, draw_noise, propose
from worker.core.explore._kept_runs import kept_run
from worker.core.explore._options import SubjectOptions
from worker.core.models.base_run import BaseRun, embed, rows_of, run_base
from worker.core.models.digests import digest_values
from worker.core.models.model import Model
from worker.core.models.sites import Site
from worker.core.models.tokens import Batch, Prompt, pad

CLEAN, CORRUPTED = 0, 1
NAMES = ("clean", "corrupted")


Context = tuple[int, tuple[int, ...]]
"""A prompt (CLEAN or CORRUPTED) and the beginning of an answer that follows it."""


@dataclass
class Subject:
    """What is looked at. `base` has a row per prompt, left-padded."""

    model: Model
    options: SubjectOptions
    prompts: tuple[Prompt, ...]
    noise: Float[Tensor, "pos width"] | None
    """Added to the embeddings of the corrupted prompt; None where another prompt corrupts."""
    base: BaseRun = field(init=False)
    target: Answer = field(init=False)
    distractor: Answer | None = field(init=False, default=None)
    problems: list[str] = field(default_factory=list)

    @property
    def n_positions(self) -> int:
        """Tokens of the clean prompt."""
        return len(self.prompts[CLEAN].ids)

    @property
    def answers(self) -> dict[str, Answer]:
        """Target and, where there is one, distractor."""
        found = {"target": self.target}
        return found if self.distractor is None else found | {"distractor": self.distractor}

    def run(self, contexts: Sequence[Context], sites: Sequence[Site] = ()) -> BaseRun:
        """Run rows of prompts and beginnings of answers, left-padded, keeping `sites`."""
        batch, embeds = self.rows(contexts)
        return run_base(self.model, batch, embeds, sites)

    def rows(self, contexts: Sequence[Context]) -> tuple[Batch, Float[Tensor, "row pos width"]]:
        """Lay out rows of prompts and beginnings of answers, with what they are embedded as."""
        rows = [(*self.prompts[which].ids, *begun) for which, begun in contexts]
        longest, most = max(map(len, rows)), self.model.max_positions
        if longest > most:
            raise UserError(
                f"Prompt and answer have {longest:,} tokens; {self.model.id!r} reads at most "
                f"{most:,}. Shorten the prompt.",
                field="options.prompt",
            )
        batch = pad(self.model, rows)
        embeds = embed(self.model, batch.ids)
        if self.noise is not None:
            embeds = embeds.clone()
            for row, (which, begun) in enumerate(contexts):
                if which == CORRUPTED:
                    stop = embeds.shape[1] - len(begun)
                    embeds[row, stop - len(self.noise) : stop] += self.noise
        return batch, embeds

    def kept(self, contexts: Sequence[Context], sites: Sequence[Site] = ()) -> BaseRun:
        """The same as `run`, taken from `base` where that has the rows and the sites.

        Not for use where forwards are replaced: what `base` has was computed without.
        """
        alone = [which for which, begun in contexts if not begun]
        known = len(alone) == len(contexts) and set(sites) <= self.base.sites.keys()
        if not known or len({self.offset(which) for which in alone}) > 1:
            return self.run(contexts, sites)
        return rows_of(self.base, alone, self.offset(alone[0]))

    def offset(self, which: int) -> int:
        """Padding before a prompt's first token in `base`."""
        return self.base.n_positions - len(self.prompts[which].ids)

    def as_json(self) -> dict[str, Any]:
        """What every view says of its subject."""
        prompts = [self._prompt_json(which) for which in range(len(self.prompts))]
        distractor = self.distractor
        return {
            "prompts": prompts,
            "target": self.target.as_json(self.model),
            "distractor": None if distractor is None else distractor.as_json(self.model),
            "problems": list(self.problems),
        }

    def _prompt_json(self, which: int) -> dict[str, Any]:
        prompt = self.prompts[which]
        start, stop = prompt.subject
        tokens = [
            {"text": text, "id": token, "subject": start <= place < stop}
            for place, (text, token) in enumerate(zip(prompt.tokens, prompt.ids, strict=True))
        ]
        return {
            "name": NAMES[which],
            "text": prompt.text,
            "tokens": tokens,
            "subject": [start, stop],
            "noise": which == CORRUPTED and self.noise is not None,
        }


@torch.no_grad()
def look(model: Model, options: SubjectOptions, seed: int, sites: Sequence[Site] = ()) -> Subject:
    """Check the prompts, run them once keeping `sites`, and settle the answers.

    Raises UserError with the option's field for what cannot be looked at.
    """
    clean = cut_prompt(model, options.prompt, options.subject, "prompt")
    prompts: tuple[Prompt, ...] = (clean,)
    noise = None
    if options.noise:
        noise = draw_noise(model, clean, options, seed)
        prompts = (clean, clean)
    elif options.corrupted.strip():
        prompts = (clean, cut_prompt(model, options.corrupted, None, "corrupted"))
    subject = Subject(model, options, prompts, noise)
    rows: list[Context] = [(which, ()) for which in range(len(prompts))]
    subject.base = kept_run(
        model,
        (*(prompt.ids for prompt in prompts), digest(noise)),
        sum(len(prompt.ids) for prompt in prompts),
        sites,
        lambda wanted: subject.run(rows, wanted),
    )
    subject.problems += _problems(subject)
    _settle_answers(subject)
    return subject


def digest(noise: Tensor | None) -> str:
    """Name a noise by its values; empty for none."""
    return "" if noise is None else digest_values(noise)


def prompt_of(subject: Subject, name: str) -> int:
    """The number of the prompt that a view reads; raises UserError where there is none."""
    which = NAMES.index(name)
    if which >= len(subject.prompts):
        raise UserError(
            "There is no corrupted prompt to read; expected one, or which: clean.",
            field="options.which",
        )
    return which


def require_pair(subject: Subject) -> None:
    """Raise UserError unless there are two prompts that can be compared token by token."""
    if len(subject.prompts) == 1:
        raise UserError(
            "There is one prompt, and what is swapped comes from a second; expected a corrupted "
            "prompt of as many tokens, or noise on the subject.",
            field="options.corrupted",
        )
    clean, corrupted = subject.prompts
    if len(clean.ids) != len(corrupted.ids):
        raise UserError(_unequal(clean, corrupted), field="options.corrupted")
    if clean.ids == corrupted.ids and subject.noise is None:
        raise UserError(
            "The corrupted prompt has the same tokens as the clean one, so there is nothing to "
            "swap; expected another subject.",
            field="options.corrupted",
        )


def _problems(subject: Subject) -> list[str]:
    """What is worth knowing of the prompts, though they can be looked at."""
    found = []
    for name, prompt in zip(NAMES, subject.prompts, strict=False):
        unknown = subject.model.tokenizer.unk_token_id
        if unknown is not None and unknown in prompt.ids:
            n = prompt.ids.count(unknown)
            found.append(
                f"{n} piece{'s' if n > 1 else ''} of the {name} prompt "
                f"{'are' if n > 1 else 'is'} not in the model's vocabulary and read as unknown; "
                f"write them in letters that it was trained on."
            )
    if len(subject.prompts) == 2 and len({len(prompt.ids) for prompt in subject.prompts}) == 2:
        found.append(_unequal(*subject.prompts))
    return found


def _unequal(clean: Prompt, corrupted: Prompt) -> str:
    more, fewer = sorted((len(clean.ids), len(corrupted.ids)), reverse=True)
    which = NAMES[len(corrupted.ids) > len(clean.ids)]
    return (
        f"The clean prompt has {len(clean.ids)} tokens and the corrupted one "
        f"{len(corrupted.ids)}; expected as many, because patches go from position to position. "
        f"Take {more - fewer} token{'s' if more - fewer > 1 else ''} from the {which} prompt, or "
        f"choose a subject of as many tokens."
    )


def _settle_answers(subject: Subject) -> None:
    options, logits = subject.options, subject.base.logits
    likeliest = logits.topk(min(2, logits.shape[-1]), dim=-1).indices.tolist()
    model, prompt = subject.model, subject.prompts[CLEAN].text
    target = cut_answer(model, prompt, options.target, options.target_ids, "target")
    subject.target = target or propose(subject.model, likeliest[CLEAN][0])
    distractor = cut_answer(model, prompt, options.distractor, options.distractor_ids, "distractor")
    if distractor is None:
        others = [row[0] for row in likeliest[1:]] + likeliest[CLEAN]
        token = next((t for t in others if t != subject.target.ids[0]), None)
        distractor = None if token is None else propose(subject.model, token)
    subject.distractor = distractor
    if distractor is not None and distractor.ids == subject.target.ids:
        raise UserError(
            f"Target and distractor are both {distractor.text!r}, so their difference is always "
            f"zero; expected another distractor.",
            field="options.distractor",
        )
