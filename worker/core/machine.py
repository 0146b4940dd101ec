"""What machine computes: its name and memory, the versions of what computes, the peak used."""

import ctypes
import os
import platform
import threading
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import torch

_PACKAGES = ("lethe", "torch", "transformers", "transformer-lens", "numpy", "scikit-learn")


def read_versions() -> dict[str, str]:
    """Read the versions of Python and of the packages that numbers depend on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Read each package's metadata once: what is imported does not change under a process."""
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


class Spending:
    """The time and the most memory that a run takes between entering and leaving this.

    What the process held before is not the run's: interpreter, libraries and other models. Its own
    model's weights are, of which `own` bytes lie there already.

    Of a GPU's memory, what torch has allocated; of a CPU's, what this process has resident, which
    Linux notes by itself and can be told to note anew. Where it cannot, a thread looks every LOOK
    seconds. What an allocator keeps of earlier runs is given back first: it would count as held
    before, and be used by this one.
    """

    LOOK = 0.05
    _STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def __init__(self, device: torch.device, own: int = 0) -> None:
        self._device, self._own, self._before = device, own, 0
        self._began, self._seen = 0.0, 0
        self._last: tuple[float, int] | None = None
        self._over = threading.Event()
        self._looking: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device) - self._own
            return self
        give_back()
        self._before = psutil.Process().memory_info().rss - self._own
        if not self._noted_anew():
            self._looking = threading.Thread(target=self._look, name="peak", daemon=True)
            self._looking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._last = self.seconds, self.peak_bytes
        self._over.set()
        if self._looking is not None:
            self._looking.join()

    @property
    def seconds(self) -> float:
        """The time until now, or until it was left."""
        if self._last is not None:
            return self._last[0]
        return time.perf_counter() - self._began

    @property
    def peak_bytes(self) -> int:
        """The most memory until now, or until it was left."""
        if self._last is not None:
            return self._last[1]
        return max(0, self._most() - max(0, self._before))

    def _most(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if self._looking is not None:
            return max(self._seen, psutil.Process().memory_info().rss)
        lines = self._STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

    def _noted_anew(self) -> bool:
        try:
            self._RESET.write_text("5")
        except OSError:  # another system than Linux, or a container that keeps it from us
            return False
        return True

    def _look(self) -> None:
        own = psutil.Process()
        while not self._over.wait(self.LOOK):
            self._seen = max(self._seen, own.memory_info().rss)


def give_back() -> None:
    """Have the C library give freed memory back, where it is one that can.

    Between two parts of a run that each take much: what the first freed lies in pieces, and the
    second would take its own beside them.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
