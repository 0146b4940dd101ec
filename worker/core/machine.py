"""What machine computes: its name and memory, the versions of what computes, the peak used."""

import platform
import resource
import sys
from importlib.metadata import version

import psutil
import torch

_PACKAGES = ("lethe", "torch", "transformers", "transformer-lens", "numpy", "scikit-learn")


def read_versions() -> dict[str, str]:
    """Read the versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def name_device(device: torch.device) -> str:
    """Return a GPU's name, or the processor's with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n = torch.get_num_threads()
    return f"{platform.processor() or platform.machine()}, {n} thread{'s' if n > 1 else ''}"


def memory_of(device: torch.device) -> int:
    """Return the device's whole memory in bytes; a CPU's is the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return int(psutil.virtual_memory().total)


def reset_peak_memory(device: torch.device) -> None:
    """Begin to watch a GPU's peak anew; a process's peak on a CPU cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Return the peak in bytes on the device; on a CPU the process's since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
