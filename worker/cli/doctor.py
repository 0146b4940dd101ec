"""What this machine can do, what is missing, and the cure."""

import importlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from worker.cli.doctor_plugins import look_at_plugins
from worker.cli.doctor_storage import (
    look_at_artifacts,
    look_at_database,
    look_at_folder,
    look_at_port,
    look_at_secrets,
)
from worker.cli.finding import Finding
from worker.contract.errors import UserError
from worker.contract.settings import Settings

PACKAGES = ("torch", "transformers", "transformer_lens", "dbos", "fastapi", "plotly", "peft")


def examine(settings: Settings) -> list[Finding]:
    """Look at Python, packages, device, where things are kept, models, plugins and browser."""
    looks: list[Callable[[Settings], Finding]] = [
        _python,
        _packages,
        _device,
        look_at_folder,
        look_at_secrets,
        look_at_database,
        look_at_artifacts,
        look_at_port,
        _model,
        _roots,
        look_at_plugins,
        _browser,
    ]
    return [_finding(look, settings) for look in looks]


def _finding(look: Callable[[Settings], Finding], settings: Settings) -> Finding:
    """Look, and make a finding also of what the look itself cannot bear."""
    try:
        return look(settings)
    except UserError as error:
        return Finding(False, error.message)
    except Exception as error:
        what = look.__name__.strip("_")
        return Finding(False, f"{what}: {type(error).__name__}: {error}", "Report this to Lethe.")


def _python(settings: Settings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(True, f"Python {version}, SQLite {sqlite3.sqlite_version}")


def _packages(settings: Settings) -> Finding:
    missing = []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        return Finding(False, f"missing packages: {', '.join(missing)}", "Run `make serve` once.")
    return Finding(True, f"packages: {', '.join(PACKAGES)}")


def _device(settings: Settings) -> Finding:
    import torch

    from worker.core.models.placement import devices_of, measure_room

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.device.startswith("cuda") and not count:
        return Finding(
            False,
            f"LETHE_DEVICE is {settings.device}, but torch {torch.__version__} sees no GPU",
            "Install a CUDA build of torch, or set LETHE_DEVICE=cpu.",
        )
    try:
        devices = devices_of(settings.device)
    except UserError as error:
        return Finding(False, error.message, "Set LETHE_DEVICE.")
    absent = [device for device in devices if device.type == "cuda" and device.index >= count]
    if absent:
        return Finding(
            False,
            f"LETHE_DEVICE is {settings.device}, and there is no {absent[0]}; torch sees {count} "
            f"GPU{'s' if count > 1 else ''}",
            "Set LETHE_DEVICE to those there are.",
        )
    names = [torch.cuda.get_device_name(i) for i in range(count)] or ["no GPU"]
    room = ", ".join(
        f"{n / 1e9:.3g} GB on {where}"
        for where, n in measure_room(devices, settings.max_memory).items()
    )
    return Finding(
        True,
        f"device {settings.device}: {', '.join(names)}; {os.cpu_count()} CPU cores; models may "
        f"take {room}, and what is larger is kept on disk",
    )


def _model(settings: Settings) -> Finding:
    from worker.core.models.describe import list_models

    models = list_models(settings.roots)
    if not any(m.id == "demo" and not m.problem for m in models):
        return Finding(False, "the bundled model is not there", "Run `make demo` to train it.")
    broken = [m for m in models if m.problem]
    said = f"{len(models)} models" + (f", {len(broken)} of them cannot be used" if broken else "")
    return Finding(not broken, said, "\n     ".join(f"{m.path}: {m.problem}" for m in broken))


def _roots(settings: Settings) -> Finding:
    missing = [str(root) for root in settings.model_roots if not Path(root).is_dir()]
    if missing:
        return Finding(False, f"model roots: {missing[0]} is no folder", "Mend LETHE_MODEL_ROOTS.")
    return Finding(True, f"model roots: {len(settings.model_roots)} beside the bundled model")


def _browser(settings: Settings) -> Finding:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    return Finding(
        True, f"browser for the tests: {path or 'none found (only `make test` needs one)'}"
    )
