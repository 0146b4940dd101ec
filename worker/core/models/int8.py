"""Load a model with every matrix of its blocks rounded to 8 bits: a quarter of float32's memory.

1. While the weights are read, each matrix of a block becomes 8-bit integers and one float32 scale
   per output, rounded to nearest and symmetric about 0, and its own tensor is let go.
2. A product is computed with the matrix scaled back, in the dtype of its input; so it stays linear,
   a row does not depend on the rows beside it, and gradients pass through exactly.
3. The backward scales the matrix back again: no graph holds it in full.

It answers as `quantization` in 8 bits does. Departure from LLM.int8 (Dettmers et al. 2022, as in
bitsandbytes): activations are not rounded, and no columns are kept apart by the batch's largest
values, because restarting from a patched activation counts on points 2's linearity and
independence. The price is speed: each product first scales its matrix back.

Limits: embeddings, norms, biases and the unembedding stay as they are; so do matrices that are not
a module of their own (mixtures of experts). Such a base is for localization only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel
from transformers.core_model_loading import ConversionOps
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from worker.core.models.layout import read_layout

METHOD = "lethe_int8"
TOP = 127


class _Product(torch.autograd.Function):
    """Multiply by a matrix of scaled integers; the graph keeps the integers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, whole: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(whole, scale)
        return linear(x, scaled(whole, scale, x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,), (whole, scale) = slopes, ctx.saved_tensors
        return slope @ scaled(whole, scale, slope.dtype), None, None, None


def _product(x: Tensor, whole: Tensor | None, scale: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = _Product.apply(x, whole, scale, bias)  # type: ignore[no-untyped-call]
    return found


class Int8Linear(nn.Linear):
    """A linear map whose `weight` is kept as integers and read as [out, in]."""

    weight_scale: Tensor

    def __init__(self, n_inputs: int, n_outputs: int, bias: bool) -> None:
        nn.Module.__init__(self)  # Linear's own makes a float weight
        self.in_features, self.out_features = n_inputs, n_outputs
        _add_integers(self, n_inputs, n_outputs, bias)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The matrix, scaled back."""
        return scaled(self._parameters["weight"], self.weight_scale, self.weight_scale.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self._parameters["weight"], self.weight_scale, self.bias)


class Int8Conv1D(Conv1D):
    """GPT-2's linear map whose `weight` is kept as integers [out, in] and read as [in, out]."""

    weight_scale: Tensor

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        nn.Module.__init__(self)
        self.nx, self.nf = n_inputs, n_outputs
        _add_integers(self, n_inputs, n_outputs, bias=True)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The matrix, scaled back."""
        return scaled(self._parameters["weight"], self.weight_scale, self.weight_scale.dtype).T

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self._parameters["weight"], self.weight_scale, self.bias)


def _add_integers(module: nn.Module, n_inputs: int, n_outputs: int, bias: bool) -> None:
    whole = torch.zeros(n_outputs, n_inputs, dtype=torch.int8)
    # Not by name: `weight` is what the integers stand for.
    module._parameters["weight"] = nn.Parameter(whole, requires_grad=False)
    scale = torch.ones(n_outputs, 1, dtype=torch.float32)
    module.register_parameter("weight_scale", nn.Parameter(scale, requires_grad=False))
    module.register_parameter("bias", nn.Parameter(torch.zeros(n_outputs)) if bias else None)


def _in_integers(module: nn.Linear | Conv1D) -> nn.Module:
    with torch.device("meta"):
        if isinstance(module, Conv1D):
            return Int8Conv1D(module.nx, module.nf)
        bias = module.bias is not None
        return Int8Linear(module.in_features, module.out_features, bias)


def scaled(whole: Tensor | None, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Scale integers back to a matrix [out, in]."""
    assert whole is not None
    return (whole.float() * scale).to(dtype)


def round_to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a matrix [out, in] to integers, with one scale per output."""
    scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / TOP
    return (weight.float() / scale).round().clamp(-TOP, TOP).to(torch.int8), scale


@register_quantization_config(METHOD)
class Int8Config(QuantizationConfigMixin):
    """Names this way of rounding to transformers."""

    def __init__(self, **kwargs: Any) -> None:
        self.quant_method = METHOD  # type: ignore[assignment]  # its enumeration is closed


class _Round(ConversionOps):
    """Rounds one matrix as it is read."""

    def convert(  # type: ignore[override]  # only what it reads of the keywords it is called with
        self, input_dict: dict[str, Any], model: PreTrainedModel | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        assert model is not None
        ((name, value),) = input_dict.items()
        value = value[0] if isinstance(value, list) else value
        module = model.get_submodule(name.rpartition(".")[0])
        if isinstance(module, Int8Conv1D):
            value = value.T
        whole, scale = round_to_int8(value)
        return {
            name: nn.Parameter(whole.contiguous(), requires_grad=False),
            f"{name}_scale": nn.Parameter(scale, requires_grad=False),
        }


@register_quantizer(METHOD)
class Int8Quantizer(HfQuantizer):
    """Has transformers round the blocks' matrices while it reads them."""

    def _process_model_before_weight_loading(self, model: PreTrainedModel, **kwargs: Any) -> None:
        prefix = f"{read_layout(model).blocks}."
        for name, module in list(model.named_modules()):
            if name.startswith(prefix) and isinstance(module, nn.Linear | Conv1D):
                model.set_submodule(name, _in_integers(module))

    def param_needs_quantization(
        self, model: PreTrainedModel, param_name: str, **kwargs: Any
    ) -> bool:
        path, _, own = param_name.rpartition(".")
        return own == "weight" and isinstance(model.get_submodule(path), Int8Linear | Int8Conv1D)

    def get_quantize_ops(self) -> ConversionOps:
        return _Round()

    def is_serializable(self) -> bool:
        return False

    @property
    def is_trainable(self) -> bool:
        return False
