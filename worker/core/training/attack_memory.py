"""How much memory attacks take beside the weights, counted from what they hold.

1. Adapters of rank r on a matrix of `in` by `out` have r (in + out) parameters, in float32, with
   two moments each; without dropout every adapted matrix is held once more, adapters added. Full
   fine-tuning holds a copy of all weights to put back, and two moments of the blocks'.
2. When the loss is taken, a step holds what every block keeps of its tokens for the backward pass,
   and of running text the logits, their log-softmax and its gradient. The parameters' gradients
   come while that is let go, so that only the larger of both counts.

Limits: prompts of PROMPT tokens; with dropout the adapters' own activations are not counted.
"""

from collections.abc import Sequence

from worker.core.asking.passages import training_passages
from worker.core.kept import once_for_each
from worker.core.models.memory import PROMPT, kept_bytes, logits_bytes
from worker.core.models.model import Model
from worker.core.models.tokens import passage_ids
from worker.core.training.relearn import TEXTS, Mode, RelearnOptions

FLOAT32 = 4
MOMENTS = 2


def attack_bytes(model: Model, modes: Sequence[Mode], options: RelearnOptions) -> int:
    """Bytes that the largest of these relearnings takes beside the weights."""
    lines = tuple(training_passages(model, options.general_text)[:TEXTS])
    text = options.text_batch * _longest(model, lines, options.context)
    facts = 2 * options.fact_batch * PROMPT
    step = (text + facts) * kept_bytes(model) + logits_bytes(model, text)
    return max(_of_mode(model, mode, options, step) for mode in modes)


def prompts_bytes(model: Model, rows: int, more: int) -> int:
    """Bytes of a step on `rows` prompts with `more` vectors in each; the weights are frozen."""
    return rows * (PROMPT + more) * kept_bytes(model) + logits_bytes(model, rows)


def adapter_parameters(model: Model, rank: int) -> int:
    """Count the parameters of adapters on every matrix of the blocks, cut to the model's width.

    `peft` gives experts' gates and up-projections, which are one tensor, twice the rank.
    """
    found = 0
    for name, p in model.blocks.named_parameters():
        if p.ndim >= 2:
            times = 2 if p.ndim > 2 and name.endswith("gate_up_proj") else 1
            experts = p.shape[:-2].numel()
            found += times * min(rank, model.d_model) * experts * (p.shape[-1] + p.shape[-2])
    return found


def _of_mode(model: Model, mode: Mode, options: RelearnOptions, step: int) -> int:
    size = model.dtype.itemsize
    blocks = sum(p.numel() for p in model.blocks.parameters())
    if mode == "full":
        copied = size * sum(p.numel() for p in model.hf.parameters())
        return copied + MOMENTS * size * blocks + max(step, size * blocks)
    own = FLOAT32 * adapter_parameters(model, options.rank)
    added = 0 if options.dropout else size * blocks
    return (1 + MOMENTS) * own + added + max(step, own)


@once_for_each
def _longest(model: Model, lines: tuple[str, ...], context: int) -> int:
    """Tokens of the longest passage; some batch of a training is padded to nearly as many."""
    return max((len(passage_ids(model, line, context + 1)) - 1 for line in lines), default=0)
