"""Compare localization with the ways others compute the same, on one machine and one model.

Prints a markdown table: causal tracing against ROME's loop of full forwards and against
`transformer_lens.patching`, operations counted by torch against the exact minimum, and attribution
patching against attributions of one prompt at a time through TransformerLens. Each comparison runs
interleaved, five rounds at least and more while its share of the time lasts (`--seconds`); times
are medians. The last round's values are compared.

    python tests/bench/bench_localization.py            # GPT-2 small's shape, random weights
    python tests/bench/bench_localization.py --quick    # a smaller shape, in a minute or two
"""

import argparse
import copy
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # read when TransformerLens is imported

import torch
from transformers import GPT2Config, GPT2LMHeadModel

sys.path.insert(0, str(Path(__file__).parents[2]))

from torch.utils.flop_counter import FlopCounterMode
from transformer_lens import patching
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

from tests.bench.interleaved import Timed, interleave
from tests.worker.core.models.families import make_tokenizer
from worker.contract.facts import Fact
from worker.core.models.base_run import embed
from worker.core.models.gradients import activations, gradients
from worker.core.models.model import Model
from worker.core.models.operations import block_operations, forward_operations, unembed_operations
from worker.core.models.restart import Patch
from worker.core.patching.bench import make_bench
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.metric import measure
from worker.core.patching.pairing import make_pairs
from worker.core.patching.tracing import patch_grid

SITES = ["resid_post", "mlp_write", "attn_write", "z"]
LEAST = 5  # rounds of each comparison


def make_model(layers: int, width: int, heads: int, vocab: int, device: str) -> Model:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocab, n_embd=width, n_layer=layers, n_head=heads, bos_token_id=0, eos_token_id=0
    )
    return Model("random", GPT2LMHeadModel(config).to(device), make_tokenizer())


def make_fact(id: str, subject: str) -> Fact:
    return Fact(id=id, subject=subject, prompt="Now {} is at", target="ball", edit_target="golf")


def trace_by_restarts(model: Model, items: list, site: str = "resid_post") -> torch.Tensor:
    bench = make_bench(model, items, "probability")
    patches = [Patch(site, layer) for layer in range(model.n_layers)]
    grid = patch_grid(bench, patches, lambda share: None) + bench.corrupted[:, None, None]
    return torch.tensor(grid[0])


@torch.no_grad()
def trace_by_full_forwards(model: Model, items: list) -> torch.Tensor:
    """Run one clean and all corrupted rows anew per layer and position, as ROME's code does."""
    case, noisy = items[0].case, items[0].embeds
    clean = embed(model, torch.tensor([case.prompt.ids], device=model.device))
    rows = torch.cat([clean, noisy])
    grid = torch.zeros(model.n_layers, case.length)
    for layer in range(model.n_layers):
        for position in range(case.length):

            def put(module: object, inputs: object, output: torch.Tensor, t: int = position):
                output = output.clone()
                output[1:, t] = output[0, t]
                return output

            handle = model.blocks[layer].register_forward_hook(put)
            logits = model.hf(inputs_embeds=rows).logits[1:, -1]
            handle.remove()
            grid[layer, position] = logits.float().softmax(-1)[:, case.answer].mean()
    return grid


def minimal_operations(model: Model, case: object, samples: int) -> int:
    """Restart at the patched layer, suffix only, nothing before the subject, one unembedding."""
    length, start = case.length, case.prompt.subject[0]
    total = forward_operations(model, samples + 1, length)
    for position in range(start, length):
        for layer in range(model.n_layers):
            if layer == model.n_layers - 1 and position < length - 1:
                continue
            left = model.n_layers - 1 - layer
            total += left * block_operations(model, samples, length - position, length)
            total += unembed_operations(model, samples)
    return total


def count(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def row(what: str, took: dict[str, float], rounds: int, difference: str = "") -> tuple[str, ...]:
    ratio = took["theirs"] / took["ours"]
    times = f"{took['ours']:.3g} s / {took['theirs']:.3g} s"
    return what, f"{ratio:.1f}x", times, str(rounds), difference


def bench_tracing(model: Model, seconds: float, samples: int = 10) -> list[tuple[str, ...]]:
    prepared = prepare(model, [make_fact("a", "Ann")], 0.0, False)
    items = corrupt(model, prepared, "noise", samples=samples, noise_level=3.0, seed=0)
    start = items[0].case.prompt.subject[0]
    counted = count(lambda: trace_by_restarts(model, items))
    minimum = minimal_operations(model, items[0].case, samples)
    ours = Timed(lambda: trace_by_restarts(model, items))
    theirs = Timed(lambda: trace_by_full_forwards(model, items))
    took, rounds = interleave({"ours": ours, "theirs": theirs}, seconds, least=LEAST)
    difference = float((ours.value - theirs.value)[:, start:].abs().max())
    difference /= float(theirs.value.abs().max())
    assert difference < 1e-5, difference
    what = f"Causal tracing against a loop of full forwards ({samples} draws)"
    return [
        ("Causal tracing: operations over the minimum", f"{counted / minimum:.3f}", "", "", ""),
        row(what, took, rounds, f"{difference:.1e}"),
    ]


def bench_lens_patching(model: Model, bridge: object, seconds: float) -> list[tuple[str, ...]]:
    facts = [make_fact("a", "Ann"), make_fact("b", "Bob")]
    facts[1] = facts[1].model_copy(update={"target": "golf", "edit_target": "ball"})
    prepared = prepare(model, facts, 0.0, True)
    items = corrupt(model, prepared, "other_subject", samples=1, noise_level=3.0, seed=0)[:1]
    case = items[0].case
    table = model.hf.get_input_embeddings().weight
    corrupted = (items[0].embeds[0][:, None] == table[None, :300]).all(-1).int().argmax(-1)[None]
    clean = torch.tensor([case.prompt.ids], device=model.device)
    _, cache = bridge.run_with_cache(clean)

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return logits[0, -1].softmax(-1)[case.answer]

    def lens() -> torch.Tensor:
        with torch.no_grad():
            return patching.get_act_patch_resid_pre(bridge, corrupted, cache, metric)

    start = case.prompt.subject[0]
    ours, theirs = Timed(lambda: trace_by_restarts(model, items, "resid_pre")), Timed(lens)
    ours()
    took, rounds = interleave({"ours": ours, "theirs": theirs}, seconds, least=LEAST)
    expected = theirs.value.cpu()[:, start:]
    difference = float((ours.value[:, start:] - expected).abs().max() / expected.abs().max())
    assert difference < 1e-4, difference
    what = "Residual patching against transformer_lens.patching (1 pair)"
    return [row(what, took, rounds, f"{difference:.1e}")]


def bench_attribution(
    model: Model, bridge: object, seconds: float, n_facts: int
) -> list[tuple[str, ...]]:
    facts = [make_fact(str(i), f"A{chr(97 + i)} Lee") for i in range(n_facts)]
    prepared = prepare(model, facts, 0.0, True)
    items = corrupt(model, prepared, "random_tokens", samples=1, noise_level=3.0, seed=0)
    names = [
        f"blocks.{layer}.{kind}"
        for layer in range(model.n_layers)
        for kind in ("hook_resid_post", "hook_mlp_out", "hook_attn_out")
    ]
    table = model.hf.get_input_embeddings().weight[:300]
    pairs_of_ids = []
    for item in items:
        corrupted = (item.embeds[0][:, None] == table[None]).all(-1).int().argmax(-1)
        pairs_of_ids.append(
            (item.case, torch.tensor(item.case.prompt.ids, device=model.device), corrupted)
        )

    def keep(into: dict[str, torch.Tensor], name: str) -> Callable[..., None]:
        return lambda value, hook: into.update({name: value.detach()})

    def one_by_one() -> None:
        for case, *both in pairs_of_ids:
            for ids in both:
                kept: dict[str, torch.Tensor] = {}
                slopes: dict[str, torch.Tensor] = {}
                with bridge.hooks(
                    fwd_hooks=[(name, keep(kept, name)) for name in names],
                    bwd_hooks=[(name, keep(slopes, name)) for name in names],
                ):
                    logits = bridge(ids[None])[0, -1]
                    (logits[case.answer] - logits[case.foil]).backward()
                bridge.zero_grad()

    def batched() -> None:
        pairs = make_pairs(model, items)
        activations(model, pairs.batch, pairs.clean, SITES)
        gradients(
            model,
            pairs.batch,
            pairs.corrupted,
            SITES,
            lambda logits: measure("logit_diff", logits, pairs.answers, pairs.foils),
        )

    batched()
    both = {"ours": Timed(batched), "theirs": Timed(one_by_one)}
    took, rounds = interleave(both, seconds, least=LEAST)
    what = f"Attribution patching against one prompt at a time ({n_facts} facts)"
    return [row(what, took, rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 layers of width 256")
    parser.add_argument(
        "--seconds", type=float, help="of timing in all, beyond five rounds (default 60 or 300)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    shape = (4, 256, 4, 5000) if args.quick else (12, 768, 12, 50257)
    model = make_model(*shape, args.device)
    bridge = build_bridge_from_module(
        copy.deepcopy(model.hf), "GPT2LMHeadModel", hf_config=model.hf.config
    )
    bridge.requires_grad_(True)
    share = (args.seconds if args.seconds is not None else 60 if args.quick else 300) / 3
    rows = bench_tracing(model, share)
    rows += bench_lens_patching(model, bridge, share)
    rows += bench_attribution(model, bridge, share, n_facts=16 if args.quick else 8)
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU"
    layers, width = shape[:2]
    print(f"{layers} layers, width {width}, float32, {device}, {torch.get_num_threads()} threads")
    print("\n| What | Ratio | Ours / theirs | Rounds | Largest relative difference |\n|-|-|-|-|-|")
    for cells in rows:
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
