"""Probe where the bundled model holds an athlete's sport: the curve over its layers.

A logistic regression reads the sport from the residual stream at the subject's last token, after
the embeddings and after each layer, trained on four fifths of the athletes and tested on the rest.
The same regression on shuffled sports is the control: what it reaches is chance.

Source: the probes of Guo et al. 2024, section on fact lookup. They read the prompt's last token;
here it is the subject's last, where the lookup writes. After the last layer the stream is normed.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from worker.contract.facts import Fact

SPLITS = 5


def last_subject_index(tokenizer: PreTrainedTokenizerFast, prompt: str, subject: str) -> int:
    """Return the position of the token that holds the subject's last character."""
    end = prompt.rindex(subject) + len(subject) - 1
    offsets = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    return next(i for i, (start, stop) in enumerate(offsets) if start <= end < stop)


@torch.no_grad()
def read_stream(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    facts: Sequence[Fact],
    template: str,
) -> np.ndarray:
    """Return the stream at each subject's last token, of shape (layer + 1, fact, d_model)."""
    rows = []
    for fact in facts:
        prompt = template.format(fact.subject)
        ids = torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device)
        states = model(ids, output_hidden_states=True, use_cache=False).hidden_states
        at = last_subject_index(tokenizer, prompt, fact.subject)
        rows.append(torch.stack([state[0, at] for state in states]).cpu())
    return torch.stack(rows, dim=1).numpy()


def probe_layer(stream: np.ndarray, labels: Sequence[str], seed: int) -> float:
    """Return the accuracy on the fifth of the athletes that the probe was not trained on."""
    fit_x, test_x, fit_y, test_y = train_test_split(
        stream, labels, test_size=0.2, random_state=seed, stratify=labels
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return float(probe.fit(fit_x, fit_y).score(test_x, test_y))


def probe_curve(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    facts: Sequence[Fact],
    template: str,
    shuffled: bool = False,
) -> list[float]:
    """Return the mean accuracy over several splits, for the embeddings and each layer."""
    streams = read_stream(model, tokenizer, facts, template)
    labels = [fact.target for fact in facts]
    if shuffled:
        labels = np.random.default_rng(0).permutation(labels).tolist()
    return [
        float(np.mean([probe_layer(stream, labels, seed) for seed in range(SPLITS)]))
        for stream in streams
    ]
