"""What the system says of memory, read where it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_saliency_sanity.examination import memory
from pytest_saliency_sanity.examination.memory import Memory, held_of, memory_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MIB = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")


@linux
def test_what_this_process_takes_is_seen() -> None:
    before, held = memory_of(CPU), held_of(CPU)
    block = np.ones(64 * MIB, dtype=np.uint8)
    after = memory_of(CPU)
    assert before is not None
    assert after is not None
    assert 60 * MIB < after.held - before.held < 80 * MIB
    assert 60 * MIB < held_of(CPU) - held < 80 * MIB
    assert after.peak >= after.held - MIB
    assert 0 < after.left <= after.total
    del block


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose files can be written: 8 GiB, of which 6 are available."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text("Name:\tpython\nVmHWM:\t3072 kB\nVmRSS:\t  2048 kB\n")
    (tmp_path / "self" / "statm").write_text("900 512 100 1 0 200 0")
    (tmp_path / "self" / "cgroup").write_text("")
    kib = {"MemTotal": 8 * MIB, "MemAvailable": 6 * MIB}
    (tmp_path / "meminfo").write_text("".join(f"{name}:  {size} kB\n" for name, size in kib.items()))
    for name, place in {"_PROCESS": "self", "_MACHINE": "meminfo", "_GROUPS": "groups"}.items():
        monkeypatch.setattr(memory, name, tmp_path / place)
    return tmp_path


def _group(folder: Path, names: tuple[str, str], limit: str, used: int, stat: str) -> None:
    folder.mkdir(parents=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used * MIB}\n")
    (folder / "memory.stat").write_text(stat)


def test_the_machine_without_limits(system: Path) -> None:
    assert memory_of(CPU) == Memory(2 * MIB, 3 * MIB, 6 * 1024 * MIB, 8 * 1024 * MIB)


def test_the_narrowest_control_group_counts(system: Path) -> None:
    """The group's own has no limit, that around it has; files that can be dropped are not in use."""
    names = "memory.max", "memory.current"
    files = f"anon {MIB}\nactive_file {100 * MIB}\ninactive_file {300 * MIB}\n"
    _group(system / "groups" / "a" / "b", names, "max", 900, "")
    (system / "groups" / "a" / names[0]).write_text(f"{1024 * MIB}")
    (system / "groups" / "a" / names[1]).write_text(f"{900 * MIB}")
    (system / "groups" / "a" / "memory.stat").write_text(files)
    (system / "self" / "cgroup").write_text("0::/a/b\n")
    assert memory_of(CPU) == Memory(2 * MIB, 3 * MIB, (1024 - 500) * MIB, 1024 * MIB)


def test_the_first_version_of_control_groups_inside_of_a_container(system: Path) -> None:
    """Its path is that of the host, and only its end is there."""
    names = "memory.limit_in_bytes", "memory.usage_in_bytes"
    files = f"inactive_file 0\ntotal_active_file {MIB}\ntotal_inactive_file {MIB}\n"
    _group(system / "groups" / "memory", names, str(512 * MIB), 102, files)
    (system / "self" / "cgroup").write_text("5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n")
    assert memory_of(CPU) == Memory(2 * MIB, 3 * MIB, (512 - 100) * MIB, 512 * MIB)


def test_no_limit_is_a_very_large_one(system: Path) -> None:
    names = "memory.limit_in_bytes", "memory.usage_in_bytes"
    _group(system / "groups" / "memory", names, str(2**63 - 4096), 102, "")
    (system / "self" / "cgroup").write_text("4:memory:/\n")
    assert memory_of(CPU) == Memory(2 * MIB, 3 * MIB, 6 * 1024 * MIB, 8 * 1024 * MIB)


def test_where_nobody_says_nothing_is_known(system: Path) -> None:
    (system / "meminfo").write_text("MemTotal:  12 kB\n")  # a kernel without MemAvailable
    assert memory_of(CPU) is None
    (system / "self" / "status").unlink()
    (system / "self" / "statm").unlink()
    assert memory_of(CPU) is None
    assert held_of(CPU) == 0


def test_a_gpu_is_asked_and_its_peaks_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    says = {"memory_allocated": 2, "memory_reserved": 5, "max_memory_allocated": 7, "mem_get_info": (10, 80)}
    for name, value in says.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda *_: pytest.fail("the user's peak"))
    assert memory_of(GPU) == Memory(held=2, peak=7, left=13, total=80)
    assert held_of(GPU) == 2
