"""The cases of a VM whose memory is handed over on one host, and the bars that Ferry has to reach."""

import ctypes
import fcntl
import mmap
import os
import struct
import time
from dataclasses import dataclass

from .bars import Bar
from .cases import Case
from .ferry import Ferry, FerryArm

SIZES_GIB = (1, 4, 16)
FILLED_MIB = 64
GIB = 1 << 30
HOLE_START, HOLE_END = 3 * GIB, 4 * GIB
LEAST_SLOT, SLOTS_OF_MUCH_RAM = 4 * GIB, 64
MAP_NORESERVE = 0x4000  # <sys/mman.h>
KVM_CREATE_VM = 0xAE01
KVM_SET_USER_MEMORY_REGION = 0x4020AE46


@dataclass
class LocalArm(FerryArm):
    """On a Unix socket, with memory that can be handed over."""

    run_options: tuple = ("--memory-backing", "shared")

    def receiver(self):
        address = f"unix:{self.directory}/handover"
        return Ferry(self.program, f"{self.directory}/target", "receive", "--listen", address)


def _slots(size):
    """Of RAM, as Ferry tells KVM of it (vmm/kvm/memory_slots.cpp): guest address, offset, bytes."""
    most = max(size // SLOTS_OF_MUCH_RAM // LEAST_SLOT, 1) * LEAST_SLOT
    low = min(size, HOLE_START)
    for address, start, end in ((0, 0, low), (HOLE_END, low, size)):
        for offset in range(start, end, most):
            yield address + offset - start, offset, min(most, end - offset)


def make_slots(gib):
    """Milliseconds that KVM takes for the slots of so much RAM."""
    size = gib * GIB
    with (
        open("/dev/kvm", "r+b", buffering=0) as kvm,
        mmap.mmap(-1, size, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_NORESERVE) as ram,
        os.fdopen(fcntl.ioctl(kvm, KVM_CREATE_VM, 0), "rb", buffering=0) as vm,
    ):
        pin = ctypes.c_char.from_buffer(ram)
        base = ctypes.addressof(pin)
        regions = [struct.pack("=IIQQQ", number, 0, address, length, base + offset)
                   for number, (address, offset, length) in enumerate(_slots(size))]
        start = time.monotonic()
        for region in regions:
            fcntl.ioctl(vm, KVM_SET_USER_MEMORY_REGION, region)
        spent = time.monotonic() - start
        del pin
    return spent * 1e3


def _measure(workload):
    def measure(programs, run):
        arms = {}
        for gib in SIZES_GIB:
            arms[f"{gib} GiB"] = LocalArm(
                programs.ferry, programs.directory, programs.kernel, FILLED_MIB,
                f"tick=2 fill={FILLED_MIB} {workload}", ("--mode", "local"), ram_mib=gib * 1024)
            arms[f"slots of {gib} GiB"] = lambda gib=gib: {"total": make_slots(gib)}
        run.migrations(arms)

    return measure


def _bars(samples):
    downtimes = [samples[f"{gib} GiB"].median("downtime") for gib in SIZES_GIB]
    return [
        *(Bar(f"downtime at {gib} GiB", downtime, 2, "ms")
          for gib, downtime in zip(SIZES_GIB, downtimes)),
        Bar("downtimes apart", max(downtimes) - min(downtimes), 0.5, "ms"),
        *(Bar(f"total at {gib} GiB beyond the slots", samples[f"{gib} GiB"].median("total")
              - samples[f"slots of {gib} GiB"].median("total"), 10, "ms") for gib in SIZES_GIB),
    ]


CASES = {
    "idle": Case(f"RAM of 1, 4 and 16 GiB, {FILLED_MIB} MiB filled", _measure(""), _bars),
    "dirty": Case("the same, 20 000 writes/s", _measure("dirty=20000 ws=64"), _bars),
}
