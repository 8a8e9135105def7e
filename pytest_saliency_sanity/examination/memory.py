"""How much memory there is: what this process has taken of it, at most so far, and what is left. In bytes.

Nothing is measured by calling the explainer once more, by a thread beside it (a fork would be warned of), or by setting
anything back: the process's and the GPU's own peaks are read, and stay what they are for the user. A peak is therefore
known only where it is higher than any before it. Where a system does not say these numbers, nothing is known.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

_PROCESS, _MACHINE, _GROUPS = Path("/proc/self"), Path("/proc/meminfo"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Of the machine (or the container that the process runs in), or of a GPU.

    Attributes:
        held: what this process holds of it.
        peak: the most that it has ever held.
        left: what could still be had.
        total: what there is at all.
    """

    held: int
    peak: int
    left: int
    total: int


def memory_of(device: torch.device) -> Memory | None:
    """What holds now; None where nobody says."""
    try:
        return _of_gpu(device) if device.type == "cuda" else _of_machine()
    except (OSError, KeyError, ValueError, RuntimeError):
        return None


def held_of(device: torch.device) -> int:
    """What this process holds now; 0 where nobody says."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        return int((_PROCESS / "statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def _of_gpu(device: torch.device) -> Memory:
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_allocated(device)
    left = free + torch.cuda.memory_reserved(device) - held
    return Memory(held, torch.cuda.max_memory_allocated(device), left, total)


def _of_machine() -> Memory:
    process, machine = _numbers(_PROCESS / "status"), _numbers(_MACHINE)
    groups = list(_of_groups())
    return Memory(
        held=process["VmRSS"],
        peak=process["VmHWM"],
        left=min([machine["MemAvailable"], *(left for left, _ in groups)]),
        total=min([machine["MemTotal"], *(total for _, total in groups)]),
    )


def _numbers(path: Path) -> dict[str, int]:
    """The lines `name: number kB` of a file."""
    lines = (line.partition(":") for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if rest.endswith(" kB")}


def _of_groups() -> Iterator[tuple[int, int]]:
    """(left, total) of each control group around the process that has a limit, in either version of these."""
    for line in (_PROCESS / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _of_group(_GROUPS, path, "memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            yield from _of_group(_GROUPS / "memory", path, *names)


def _of_group(root: Path, path: str, limit: str, usage: str, prefix: str) -> Iterator[tuple[int, int]]:
    """From the group itself up to the root; inside of a container only a part of that path may be there."""
    own = root / path.lstrip("/")
    for folder in (own, *(parent for parent in own.parents if parent.is_relative_to(root))):
        most = _number(folder / limit)
        if most is not None:
            yield max(most - _used(folder, usage, prefix), 0), most


def _used(folder: Path, usage: str, prefix: str) -> int:
    """What a group uses, less files that the kernel drops when memory is short."""
    stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    files = sum(int(stat.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
    return int((folder / usage).read_text(encoding="ascii")) - files


def _number(path: Path) -> int | None:
    text = path.read_text(encoding="ascii").strip() if path.is_file() else "max"
    return None if text == "max" or int(text) >= 2**60 else int(text)
