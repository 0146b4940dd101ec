"""Which process on which machine holds a worker's row, so that a dead one is told at once.

A process is named by its machine's boot, its pid namespace, its pid and its start time: a pid that
another process was given meanwhile is not taken for the one that died.
"""

import os
import time
from pathlib import Path
from typing import Any

PROC = Path("/proc")


def this_process() -> dict[str, Any]:
    """Name this process."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _start_time(os.getpid())}


def is_gone(holder: dict[str, Any]) -> bool:
    """Whether the holder was on this machine and is dead; False when that cannot be known."""
    if not holder.get("machine") or holder["machine"] != _machine():
        return False
    return _start_time(int(holder["pid"])) != str(holder["started"])


def age() -> float:
    """For how many seconds this process lives; 0 where the system does not say."""
    started = _start_time(os.getpid())
    if not started:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")


def _machine() -> str:
    """This boot and pid namespace; empty where the system does not say."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    """When the kernel started a process, in ticks since boot; empty when there is none."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    # The name in brackets may hold anything; the start time is the 20th field after it.
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
