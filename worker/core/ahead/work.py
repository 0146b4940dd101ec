"""How much a run computes, counted by formula.

Operations are multiplications and additions of matrix products, as `torch.utils.flop_counter`
counts them. Beside them, a pass through a block costs time however little is in it, which decides
where a model is small, and so do numbers that are touched one by one: a softmax over the
vocabulary, an optimizer's moments, a checksum.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.core.models.components import component_parameters
from worker.core.models.model import Model


@dataclass(frozen=True)
class Work:
    """Operations, passes through a block, and numbers that are touched beside."""

    operations: float = 0.0
    passes: float = 0.0
    touched: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.operations + other.operations,
            self.passes + other.passes,
            self.touched + other.touched,
        )

    def __mul__(self, times: float) -> Work:
        return Work(self.operations * times, self.passes * times, self.touched * times)

    __rmul__ = __mul__


NOTHING = Work()


@dataclass(frozen=True)
class Size:
    """What a model's operations are counted from."""

    n_layers: int
    weights: float
    """Of one block."""
    n_heads: int
    attention: int
    """Heads times their width."""
    d_model: int
    mlp: int
    d_vocab: int

    @classmethod
    def of(cls, model: Model) -> Size:
        """Read the sizes of a model, also of one without values."""
        counts = component_parameters(model)
        whole = {name: n for name, n in counts.items() if ".head." not in name}
        config = model.hf.config.get_text_config()
        names = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
        named = (getattr(config, name, None) for name in names)
        return cls(
            n_layers=model.n_layers,
            weights=sum(whole.values()) / model.n_layers,
            n_heads=model.n_heads,
            attention=model.n_heads * model.d_head,
            d_model=model.d_model,
            mlp=next((int(n) for n in named if n), 4 * model.d_model),
            d_vocab=model.d_vocab,
        )

    def blocks(self, tokens: float, keys: float, n: float, passes: float = 1.0) -> Work:
        """Run `tokens` through `n` blocks in `passes` batches, each attending to `keys` places."""
        each = 2 * self.weights + 4 * keys * self.attention
        beside = 16 * self.d_model + 4 * self.mlp + keys * self.n_heads
        return Work(tokens * n * each, passes * n, tokens * n * beside)

    def unembed(self, tokens: float) -> Work:
        """Give the logits of `tokens` positions, and a softmax over them."""
        return Work(2 * tokens * self.d_model * self.d_vocab, 0.0, 4 * tokens * self.d_vocab)

    def train(self, tokens: float, keys: float, unembedded: float, below: int, own: float) -> Work:
        """Run forward and backward from block `below` on, and give `own` parameters a gradient.

        Frozen weights only let the gradient pass, as dear as a forward; those that are trained
        take as much again.
        """
        through = self.blocks(tokens, keys, self.n_layers - below) + self.unembed(unembedded)
        return 2 * through + Work(2 * tokens * own)
