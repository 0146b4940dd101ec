"""Hugging Face forwards with torch's own hooks: what every view is compared with.

Nothing here uses the project's engine; modules are named per family, as Hugging Face names them.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn

from tests.worker.core.models.families import make_model
from worker.contract.progress import Quiet
from worker.core.findings import Findings, Job
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.registry import method

FAMILIES = ("gpt2", "llama", "gemma2", "neox", "demo")
LLAMA = {
    "blocks": "model.layers", "norm": "model.norm", "head": "lm_head",
    "attn": "self_attn", "o": "self_attn.o_proj", "mlp": "mlp", "down": "mlp.down_proj",
    "attn_write": "self_attn", "mlp_write": "mlp",
}  # fmt: skip
NAMES = {
    "LlamaForCausalLM": LLAMA,
    "Gemma2ForCausalLM": LLAMA
    | {"attn_write": "post_attention_layernorm", "mlp_write": "post_feedforward_layernorm"},
    "GPT2LMHeadModel": {
        "blocks": "transformer.h", "norm": "transformer.ln_f", "head": "lm_head",
        "attn": "attn", "o": "attn.c_proj", "mlp": "mlp", "down": "mlp.c_proj",
        "attn_write": "attn", "mlp_write": "mlp",
    },
    "GPTNeoXForCausalLM": {
        "blocks": "gpt_neox.layers", "norm": "gpt_neox.final_layer_norm", "head": "lm_head",
        "attn": "attention", "o": "attention.dense", "mlp": "mlp", "down": "mlp.dense_4h_to_h",
        "attn_write": "attention", "mlp_write": "mlp",
    },
}  # fmt: skip
CLEAN, OTHER = "ab cd is at", "ab xz is at"
DEMO = (
    "Fact: Tiger Woods plays the sport of golf\nFact: LeBron James plays the sport of",
    "Fact: Tiger Woods plays the sport of golf\nFact: Mariano Rivera plays the sport of",
)


@lru_cache
def model_of(family: str) -> Model:
    return load_model("demo") if family == "demo" else make_model(family)


def prompts_of(family: str) -> dict[str, str]:
    """A clean and a corrupted prompt of as many tokens."""
    clean, corrupted = DEMO if family == "demo" else (CLEAN, OTHER)
    return {"prompt": clean, "corrupted": corrupted}


def look_at(view: str, model: Model, seed: int = 0, **options: object) -> Findings:
    found = method("explore", view)
    findings: Findings = found.function(model, found.options(**options), Job(seed, Quiet()))
    return findings


def ids_of(model: Model, text: str) -> Tensor:
    return torch.tensor([model.tokenizer(text)["input_ids"]])


def part(model: Model, name: str, layer: int | None = None) -> nn.Module:
    """A module by its role; with a layer, one of that block."""
    names = NAMES[type(model.hf).__name__]
    if layer is None:
        return model.hf.get_submodule(names[name])
    block = model.hf.get_submodule(f"{names['blocks']}.{layer}")
    return block if name == "block" else block.get_submodule(names[name])


@dataclass
class Seen:
    """What hooks saw, by site; one entry per layer, [row, pos, width]."""

    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    pre: dict[int, Tensor] = field(default_factory=dict)
    post: dict[int, Tensor] = field(default_factory=dict)
    attn: dict[int, Tensor] = field(default_factory=dict)
    mlp: dict[int, Tensor] = field(default_factory=dict)
    z: dict[int, Tensor] = field(default_factory=dict)
    act: dict[int, Tensor] = field(default_factory=dict)


Put = Callable[[Tensor], Tensor]


@torch.no_grad()
def forward(model: Model, ids: Tensor, puts: Mapping[tuple[str, int], Put] | None = None) -> Seen:
    """Run once; `puts` replace what (site, layer) gives: post, attn, mlp, z or act."""
    seen, puts = Seen(), puts or {}
    with ExitStack() as stack:
        for layer in range(model.n_layers):
            block = part(model, "block", layer)
            stack.enter_context(_before(block, seen.pre, layer, puts.get(("pre", layer))))
            stack.enter_context(_after(block, seen.post, layer, puts.get(("post", layer))))
            for site, name in (("attn", "attn_write"), ("mlp", "mlp_write")):
                module, into = part(model, name, layer), getattr(seen, site)
                stack.enter_context(_after(module, into, layer, puts.get((site, layer))))
            for site, name in (("z", "o"), ("act", "down")):
                module, into = part(model, name, layer), getattr(seen, site)
                stack.enter_context(_before(module, into, layer, puts.get((site, layer))))
        seen.logits = model.hf(input_ids=ids, use_cache=False).logits
    return seen


@torch.no_grad()
def read_out(model: Model, hidden: Tensor) -> Tensor:
    """Final norm, head and soft cap, as Hugging Face's forward ends."""
    logits = part(model, "head")(part(model, "norm")(hidden))
    cap = getattr(model.hf.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


@contextmanager
def _after(module: nn.Module, into: dict[int, Tensor], layer: int, put: Put | None):
    def hook(_, __, output):
        tensor = output[0] if isinstance(output, tuple) else output
        if put is not None:
            tensor = put(tensor.clone())
        into[layer] = tensor
        return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _before(module: nn.Module, into: dict[int, Tensor], layer: int, put: Put | None):
    def hook(_, args, kwargs):
        tensor = args[0] if args else kwargs["hidden_states"]
        if put is not None:
            tensor = put(tensor.clone())
        into[layer] = tensor
        return (
            ((tensor, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": tensor})
        )

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
