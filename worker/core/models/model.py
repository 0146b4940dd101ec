"""A loaded causal language model: raw Hugging Face weights, never folded."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from worker.core.models.digests import combine_digests
from worker.core.models.float_head import unembed_in_float32
from worker.core.models.hashed import Hashed
from worker.core.models.layout import Layout, read_layout
from worker.core.models.logits_watch import watch_logits
from worker.core.models.stored_values import unchanged_names


class Model:
    """A causal LM with its tokenizer, its sizes and the names of its modules."""

    def __init__(
        self,
        id: str,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        path: Path | None = None,
        revision: str | None = None,
        stored: Mapping[str, str] | None = None,
    ) -> None:
        """Take a loaded model; `stored` are the checksums of the tensors in its files."""
        self.id, self.hf, self.tokenizer = id, hf, tokenizer
        self.path, self.revision = path, revision
        self._stored = stored
        self.hashed = Hashed()
        """Checksums of the parameters as they were last seen."""
        self.changed: dict[str, str] = {}
        """Parameter's name -> checksum of its numbers, of all that edits lying on it changed."""
        self.intervened = ""
        """Names the interventions that are on; empty where none is."""
        hf.eval()
        hf.requires_grad_(False)
        unembed_in_float32(hf)
        watch_logits(hf)
        config = hf.config.get_text_config()
        self.n_layers: int = config.num_hidden_layers
        self.n_heads: int = config.num_attention_heads
        self.n_kv_heads: int = getattr(config, "num_key_value_heads", None) or self.n_heads
        self.d_model: int = config.hidden_size
        self.d_head: int = getattr(config, "head_dim", None) or self.d_model // self.n_heads
        self.d_vocab: int = config.vocab_size

    @property
    def device(self) -> torch.device:
        return next(self.hf.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.hf.parameters()).dtype

    @cached_property
    def layout(self) -> Layout:
        """Names of the blocks, attentions and MLPs; read when first needed."""
        return read_layout(self.hf)

    @property
    def blocks(self) -> nn.ModuleList:
        blocks = self.hf.get_submodule(self.layout.blocks)
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    @cached_property
    def max_positions(self) -> int:
        """Longest prompt in tokens."""
        config = self.hf.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 1_000_000)

    @cached_property
    def n_rows(self) -> int:
        """Rows of the embedding: ids from here on have none."""
        weight = self.hf.get_input_embeddings().weight
        assert isinstance(weight, Tensor)
        return weight.shape[0]

    @cached_property
    def has_bare_tokens(self) -> bool:
        """Whether the tokenizer has tokens, special ones, without an embedding."""
        return max(self.tokenizer.get_vocab().values(), default=0) >= self.n_rows

    @cached_property
    def pad_id(self) -> int:
        """A token to fill padding with; the mask hides it, so any that has an embedding will do."""
        n_rows = self.n_rows
        for token in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if token is not None and token < n_rows:
                return int(token)
        return 0

    @cached_property
    def end_id(self) -> int | None:
        """The token that ends a text; kept, because the tokenizer takes long to say it."""
        found: int | None = self.tokenizer.eos_token_id
        return found

    @cached_property
    def takes_position_ids(self) -> bool:
        """Whether the forward takes positions; models with ALiBi read them from the mask."""
        return "position_ids" in inspect.signature(self.hf.forward).parameters

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every parameter as it was when first asked, that is, of the base weights.

        A parameter with the bits of its stored tensor has that one's, without being hashed again.
        """
        if self._stored is not None and self.path is not None:
            known = {name: self._stored[name] for name in unchanged_names(self.path, self.hf)}
            self.hashed.remember(self.hf, known)
        return self.hashed.checksums(self.hf)

    @property
    def stored(self) -> Mapping[str, str]:
        """SHA-256 of every tensor of its files; of the parameters, where it has no files."""
        return self.digests if self._stored is None else self._stored

    @property
    def weights_hash(self) -> str:
        """SHA-256 over the stored tensors' names, dtypes, shapes and bytes, in whatever dtype the
        base was loaded."""
        return combine_digests(self.stored)

    @property
    def state_hash(self) -> str:
        """The same over what the edits that lie on it left and changed, and over interventions that
        are on; `weights_hash` without."""
        on = {"interventions": self.intervened} if self.intervened else {}
        return combine_digests({**self.stored, **self.changed, **on})

    def run(
        self,
        ids: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch all"],
        position_ids: Int[Tensor, "batch pos"],
        keep: int = 1,
        past: Cache | None = None,
        use_cache: bool = False,
    ) -> CausalLMOutputWithPast:
        """Run the model behind `past`, which `mask` covers too; logits of the last positions."""
        places = {"position_ids": position_ids} if self.takes_position_ids else {}
        out: CausalLMOutputWithPast = self.hf(
            input_ids=ids, attention_mask=mask, past_key_values=past,
            use_cache=use_cache or past is not None, logits_to_keep=keep, **places,
        )  # fmt: skip
        return out

    def logits(
        self,
        ids: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        position_ids: Int[Tensor, "batch pos"],
        keep: int = 1,
    ) -> Float[Tensor, "batch keep vocab"]:
        """Run the model; return float32 logits of the last `keep` positions only."""
        logits = self.run(ids, mask, position_ids, keep).logits
        assert logits is not None
        return logits.float()
