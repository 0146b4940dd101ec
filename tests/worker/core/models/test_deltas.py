import pytest
import torch

from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.core.models.delta_files import read_delta, save_delta
from worker.core.models.deltas import NotRestored, checksum, edited, parameter_checksums, restored

NAME, OTHER = "model.layers.1.mlp.down_proj.weight", "model.layers.0.mlp.up_proj.weight"


def write(path, model, name, change, before=None):
    parameter = dict(model.hf.named_parameters())[name]
    before = before or model.weights_hash
    values = {name: parameter.detach() + change}
    digests = dict(parameter_checksums(model))
    with restored(model, [name]):
        with torch.no_grad():
            parameter.copy_(values[name])
        after = checksum(model)
    assert digests == parameter_checksums(model)
    save_delta(path, values, model=model, before_hash=before, after_hash=after)
    return after


def test_whatever_is_changed_inside_is_put_back_also_by_an_exception():
    model = make_model("llama")
    before = checksum(model)
    with pytest.raises(ZeroDivisionError), restored(model):
        model.hf.train()
        for parameter in model.hf.parameters():
            parameter.requires_grad_(True)
            with torch.no_grad():
                parameter.mul_(2)
        assert checksum(model) != before
        raise ZeroDivisionError
    assert checksum(model) == before == model.weights_hash
    assert not model.hf.training
    assert not any(p.requires_grad or p.grad is not None for p in model.hf.parameters())


def test_a_change_outside_the_named_parameters_is_noticed():
    model = make_model("qwen2", seed=1)
    first = next(model.hf.parameters())
    with (
        pytest.raises(NotRestored, match="were not put back"),
        restored(model, [NAME]),
        torch.no_grad(),
    ):
        first.add_(1)
    with torch.no_grad():
        first.sub_(1)


def test_an_edit_is_applied_and_taken_away(tmp_path):
    model = make_model("llama")
    after = write(tmp_path / "one.safetensors", model, NAME, 0.5)
    with edited(model, [tmp_path / "one.safetensors"]):
        assert checksum(model) == after
    assert checksum(model) == model.weights_hash
    delta = read_delta(tmp_path / "one.safetensors")
    assert set(delta.values) == {NAME} and delta.base_hash == model.weights_hash


def test_edits_stack_in_the_order_in_which_they_were_made(tmp_path):
    model = make_model("llama")
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write(one, model, NAME, 0.5)
    with edited(model, [one]):
        between = checksum(model)
        after = write(two, model, OTHER, 0.25, before=between)
    with edited(model, [one, two]):
        assert checksum(model) == after
    for wrong in ([two], [two, one]):
        with pytest.raises(UserError, match="on top of other edits"), edited(model, wrong):
            pass
    assert checksum(model) == model.weights_hash


def test_an_edit_of_another_base_is_refused(tmp_path):
    write(tmp_path / "one.safetensors", make_model("llama"), NAME, 0.5)
    other = make_model("llama", seed=7)
    with (
        pytest.raises(UserError, match="was made on"),
        edited(other, [tmp_path / "one.safetensors"]),
    ):
        pass
    assert checksum(other) == other.weights_hash


def test_a_file_that_is_no_delta_is_refused(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"garbage")
    with pytest.raises(UserError, match="cannot be read"):
        read_delta(tmp_path / "bad.safetensors")


def test_the_hash_tells_dtype_shape_and_bytes_apart():
    model = make_model("llama")
    assert model.weights_hash == make_model("llama", seed=0).weights_hash
    assert model.weights_hash != make_model("llama", seed=7).weights_hash
