"""What a case is made of: ways to migrate a guest, interleaved, so many times."""

import os
import tempfile
from dataclasses import dataclass, replace
from typing import Callable

from .ferry import FerryArm
from .measure import MIB, Samples
from .migration import measure_migration, warm
from .child import run_helper
from .qemu import QemuArm

GBIT = 125_000_000  # bytes per second

# 1000 MiB with 30 % zero pages are 700 MiB of others.
FILLED_1G = "fill=1000"


@dataclass
class Programs:
    ferry: str
    kernel: str
    fault_floor: str = ""
    directory: str = ""  # for sockets and files


@dataclass
class Case:
    about: str
    measure: Callable  # (Programs, Run): runs the arms
    bars: Callable  # (arm -> Samples): the list of Bar


class Floor:
    """The plain copy of as many bytes as Ferry's last migration put on the wire."""

    def __init__(self, memory_mib, connections):
        self.memory_mib = memory_mib
        self.connections = connections


def arms_of(programs, memory_mib, cmdline, ferry, qemu, floors=()):
    arms = {}
    for name, options in ferry.items():
        arms[name] = FerryArm(programs.ferry, programs.directory, programs.kernel, memory_mib,
                              cmdline, tuple(options.split()))
    for connections in floors:
        arms[f"tcp copy, {connections}"] = Floor(memory_mib, connections)
    for name, options in qemu.items():
        arms[name] = QemuArm(programs.kernel, memory_mib, cmdline, **options)
    return arms


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
        """Measures each arm: a way to migrate, the floor, or a function that returns numbers."""
        self.interleaved({name: self._measurement(arm) for name, arm in arms.items()})

    def _measurement(self, arm):
        if callable(arm):
            return arm
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


def run_case(case, programs, count, wanted=None, progress=lambda text: None):
    """Measures one case; returns the Samples of each arm by name."""
    # In memory where possible: the image of a guest's RAM is for a moment one of the files.
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ferry-bench-", dir=base) as directory:
        run = Run(count, wanted, progress)
        case.measure(replace(programs, directory=directory), run)
        return run.samples
