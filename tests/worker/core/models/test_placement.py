"""Where blocks are put, on made-up memory figures; no device is asked."""

import copy

import psutil
import pytest
import torch

from tests.worker.core.models.families import CONFIGS
from worker.contract.errors import UserError
from worker.core.models import placement as placement_module
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.models.placement import block_bytes, devices_of, measure_room, place


@pytest.fixture(scope="module")
def weightless() -> Model:
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(CONFIGS["llama"])
    config.num_hidden_layers = 6
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config)
    return Model("tiny", hf, None)  # type: ignore[arg-type]


def sizes(model: Model) -> tuple[int, int]:
    """Bytes of one block, and of everything outside the blocks."""
    blocks = block_bytes(model, torch.float32)
    return blocks[0], 4 * sum(p.numel() for p in model.hf.parameters()) - sum(blocks)


def test_a_model_that_the_first_device_holds_is_not_spread(weightless: Model) -> None:
    block, outside = sizes(weightless)
    room = {"cuda:0": outside + 6 * block, "cuda:1": 10 * block, "cpu": 10 * block}
    assert place(weightless, torch.float32, room) is None
    halved = {"cuda:0": (outside + 6 * block) // 2, "cpu": 0}
    assert place(weightless, torch.bfloat16, halved) is None, "the dtype decides"


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ({"cuda:0": 3.5, "cuda:1": 9, "cpu": 9}, "0 0 1 1 1 1"),
        ({"cuda:0": 3.5, "cuda:1": 2.5, "cpu": 9}, "0 0 1 1 cpu cpu"),
        ({"cuda:2": 3.5, "cuda:1": 9, "cpu": 9}, "2 2 1 1 1 1"),
        ({"cuda:0": 3.5, "cpu": 9}, "0 0 cpu cpu cpu cpu"),
        ({"cuda:0": 3.5, "cpu": 3.5}, "0 0 cpu cpu disk disk"),
        ({"cuda:0": 3.5, "cpu": 0}, "0 0 disk disk disk disk"),
        ({"cpu": 3.5}, "cpu cpu disk disk disk disk"),
    ],
)
def test_blocks_fill_the_first_device_then_gpus_then_memory_then_the_disk(
    weightless: Model, blocks: dict[str, float], expected: str
) -> None:
    block, outside = sizes(weightless)
    main = next(iter(blocks))
    room = {name: int(n * block) + (outside if name == main else 0) for name, n in blocks.items()}
    found = place(weightless, torch.float32, room)
    assert found is not None and found.main == main
    assert " ".join(device.removeprefix("cuda:") for device in found.blocks) == expected
    assert found.times_slower > 1


def test_what_the_first_device_cannot_even_compute_with_is_refused(weightless: Model) -> None:
    block, outside = sizes(weightless)
    with pytest.raises(UserError, match="weights alone") as refused:
        place(weightless, torch.float32, {"cuda:0": outside + block // 2, "cpu": 100 * block})
    assert refused.value.problems[0][0] == "model"


def test_a_placement_is_said_in_one_sentence(weightless: Model) -> None:
    block, outside = sizes(weightless)
    room = {"cuda:0": outside + int(3.5 * block), "cpu": int(3.5 * block)}
    found = place(weightless, torch.float32, room)
    assert found is not None
    assert found.words.startswith(
        "2 of 6 blocks are held on cuda:0, 2 in the CPU's memory (offload) and 2 on disk (offload)"
    )
    assert "times slower than all on cuda:0." in found.words


def test_lethe_device_names_one_gpu_several_or_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert [str(d) for d in devices_of("cuda")] == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices_of("auto") == devices_of("cuda")
    assert [str(d) for d in devices_of("cuda:2, cuda:0")] == ["cuda:2", "cuda:0"]
    assert devices_of("cpu") == (torch.device("cpu"),)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices_of("auto") == (torch.device("cpu"),)


@pytest.mark.parametrize("value", ["gpu", "cuda:0,cpu", "cuda,cuda:1", "cuda:1,cuda:1", "meta", ""])
def test_a_value_that_names_no_devices_is_refused_in_words(value: str) -> None:
    with pytest.raises(UserError, match="expected"):
        devices_of(value)


def test_room_is_what_is_free_within_the_administrators_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000, 20_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2_000)
    gpus = [torch.device("cuda", 0), torch.device("cuda", 1)]
    room = measure_room(gpus, {"cuda:1": 5_000, "cpu": 7_000})
    assert list(room.items()) == [("cuda:0", 10_800), ("cuda:1", 5_000), ("cpu", 7_000)]
    free = measure_room([torch.device("cpu")])["cpu"]
    assert 0 < free <= placement_module.SHARE * psutil.virtual_memory().total


@pytest.mark.gpu
def test_on_gpus_a_spread_model_answers_as_a_whole_one() -> None:
    if not torch.cuda.is_available():
        pytest.skip(
            "no GPU: would have compared the bundled model on one GPU with itself spread over "
            "that GPU, a second one where there is one, and the CPU's memory: logits and gradients"
        )
    devices = [f"cuda:{i}" for i in range(min(2, torch.cuda.device_count()))]
    whole = load_model("demo", device=devices[0])
    block, outside = sizes(whole)
    room = {name: int(3.5 * block) for name in devices} | {"cpu": 10**9}
    room[devices[0]] += outside
    spread = load_model("demo", device=devices[0], room=room)
    found = placement_module.placement_of(spread.hf)
    assert found is not None and set(found.counts) == {*devices, "cpu"}
    ids = torch.arange(2, 10, device=devices[0])[None]
    slopes = []
    for model in (whole, spread):
        embeds = model.hf.get_input_embeddings()(ids).detach().requires_grad_()
        logits = model.hf(inputs_embeds=embeds).logits
        slopes.append((logits.detach(), torch.autograd.grad(logits.float().sum(), embeds)[0]))
    for one, other in zip(*slopes, strict=True):
        assert one.device == other.device
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert whole.weights_hash == spread.weights_hash
