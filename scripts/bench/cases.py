"""The cases: which guest, which ways to migrate it, interleaved, so many times."""

import os
import tempfile
from dataclasses import dataclass, replace

from . import guest
from .ferry import Ferry, FerryArm
from .measure import MIB, Samples
from .migration import measure_migration, measure_start, warm
from .process import run_helper
from .qemu import Qemu, QemuArm, save_ram

GBIT = 125_000_000  # bytes per second

# 1000 MiB with 30 % zero pages are 700 MiB of others.
FILLED_1G = "fill=1000"


@dataclass
class Programs:
    ferry: str
    kernel: str
    directory: str = ""  # for sockets and files


class Floor:
    """The plain copy of as many bytes as Ferry's last migration put on the wire."""

    def __init__(self, memory_mib, connections):
        self.memory_mib = memory_mib
        self.connections = connections


def _arms(programs, memory_mib, cmdline, ferry, qemu, floors=()):
    arms = {}
    for name, options in ferry.items():
        arms[name] = FerryArm(programs.ferry, programs.directory, programs.kernel, memory_mib,
                              cmdline, tuple(options.split()))
    for connections in floors:
        arms[f"tcp copy, {connections}"] = Floor(memory_mib, connections)
    for name, options in qemu.items():
        arms[name] = QemuArm(programs.kernel, memory_mib, cmdline, **options)
    return arms


QEMU_UNCAPPED = {
    "qemu": {},
    "qemu 30ms": {"downtime_limit_ms": 30},
    "qemu multifd": {"multifd": 2},
    "qemu multifd 30ms": {"multifd": 2, "downtime_limit_ms": 30},
}


def _ferry_uncapped(downtime):
    return {f"ferry, {n}": f"--max-downtime {downtime} --channels {n}" for n in (1, 2)}


def idle_1g(programs, run):
    run.migrations(_arms(programs, 1024, f"tick=2 {FILLED_1G}", _ferry_uncapped("5ms"),
                         QEMU_UNCAPPED, floors=(1, 2)))


def dirty_1g(programs, run):
    run.migrations(_arms(programs, 1024, f"tick=2 {FILLED_1G} dirty=20000 ws=64",
                         _ferry_uncapped("10ms"), QEMU_UNCAPPED))


def sparse_4g(programs, run):
    run.migrations(_arms(programs, 4096, "tick=2 fill=64", _ferry_uncapped("50ms"),
                         QEMU_UNCAPPED))


def capped_1g(programs, run):
    cmdline = f"tick=10 {FILLED_1G}"
    path = os.path.join(programs.directory, "ram")
    with Qemu(programs.kernel, 1024, cmdline) as vm:
        vm.out.wait_for(guest.FILLED)
        save_ram(vm, 1024 * MIB, path)
    pages, compressed = map(int, run_helper("lz4_reference.py", path).split())
    os.unlink(path)
    run.note("lz4 -1", {"pages": pages, "wire": compressed / MIB})
    run.migrations(_arms(
        programs, 1024, cmdline,
        {"ferry": "--max-bandwidth 1Gbit"},
        {"qemu": {"bytes_per_second": GBIT},
         "qemu multifd zstd": {"bytes_per_second": GBIT, "multifd": 2, "compression": "zstd"}},
    ))


def memory(programs, run):
    """Ferry only, both ways in which it needs the most: raw over several connections, and lz4."""
    run.migrations(_arms(
        programs, 1024, f"tick=10 {FILLED_1G}",
        {"ferry, raw 2": "--channels 2 --compression none",
         "ferry, lz4 2": "--channels 2 --compression lz4"}, {},
    ))


def start(programs, run):
    def ferry():
        return Ferry(programs.ferry, f"{programs.directory}/start", "run", "--kernel",
                     programs.kernel, "--memory", "256M")

    def qemu():
        return Qemu(programs.kernel, 256, "", spawn_only=True)

    run.interleaved({
        "ferry": lambda: {"first_byte": measure_start(ferry)},
        "qemu": lambda: {"first_byte": measure_start(qemu)},
    })


CASES = {
    "idle-1g": (idle_1g, "1 GiB, 700 MiB of it not zero, a guest that only ticks"),
    "dirty-1g": (dirty_1g, "the same, 64 MiB of it dirtied by 20 000 writes/s"),
    "sparse-4g": (sparse_4g, "4 GiB, 64 MiB of it filled"),
    "capped-1g": (capped_1g, "the guest of idle-1g at 1 Gbit/s, compressed where it pays"),
    "memory": (memory, "what the process needs beyond the guest's RAM"),
    "start": (start, "from starting the program to the guest's first serial byte"),
}


class Run:
    """Runs the arms of one case in turn, and keeps what they measured."""

    def __init__(self, count, wanted, progress):
        self.samples = {}  # arm -> Samples
        self._count = count
        self._wanted = wanted  # part of an arm's name, or None
        self._progress = progress
        self._wire_bytes = None

    def note(self, arm, result):
        self.samples.setdefault(arm, Samples()).add(result)

    def interleaved(self, arms):
        arms = {name: arm for name, arm in arms.items() if not self._wanted or self._wanted in name}
        for number in range(self._count):
            for name, arm in arms.items():
                self._progress(f"run {number + 1} of {self._count}: {name}")
                self.note(name, arm())

    def migrations(self, arms):
        self.interleaved({name: self._measurement(arm) for name, arm in arms.items()})

    def _measurement(self, arm):
        return lambda: self._copy(arm) if isinstance(arm, Floor) else self._migrate(arm)

    def _migrate(self, arm):
        result = measure_migration(arm)
        if isinstance(arm, FerryArm):
            self._wire_bytes = round(result["wire"] * MIB)
        return result

    def _copy(self, floor):
        size = self._wire_bytes or 700 * MIB
        with warm(floor.memory_mib):
            pass
        milliseconds = float(run_helper("floor.py", size, floor.connections))
        return {"total": milliseconds, "wire": size / MIB}


def run_case(name, programs, count, wanted=None, progress=lambda text: None):
    """Measures one case; returns the Samples of each arm by name."""
    # In memory where possible: the image of a guest's RAM is for a moment one of the files.
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ferry-bench-", dir=base) as directory:
        run = Run(count, wanted, lambda text: progress(f"{name}: {text}"))
        CASES[name][0](replace(programs, directory=directory), run)
        return run.samples
