"""The cases of virtio devices: what they add to a migration, and how fast they are."""

import os
import tempfile
import time
from dataclasses import dataclass, replace

from . import guest
from .bars import Bar
from .cases import Case
from .child import DEADLINE, Child, Failed
from .ferry import Ferry, FerryArm
from .qemu import Qemu

MEMORY_MIB = 256
DISK_BLOCKS = 4096  # of 4 KiB
BUSY, BARE = "ferry, busy disk", "ferry, no device"


def _in_mode(mode):
    def measure(programs, run):
        disk = f"{programs.directory}/disk"
        with open(disk, "wb") as file:
            file.truncate(DISK_BLOCKS * 4096)
        bare = FerryArm(programs.ferry, programs.directory, programs.kernel, MEMORY_MIB,
                        "tick=2 fill=100", ("--mode", mode))
        run.migrations({
            BARE: bare,
            BUSY: replace(bare, cmdline=f"{bare.cmdline} disk={DISK_BLOCKS} rng",
                          run_options=("--rng", "--disk", disk),
                          receive_options=("--disk", f"id=disk0,{disk}")),
        })

    return measure


def _downtime_bars(samples):
    busy, bare = samples[BUSY], samples[BARE]
    return [
        Bar("downtime with a busy disk against 2 x that without devices", busy.median("downtime"),
            2 * bare.median("downtime"), "ms"),
        Bar("downtime with a busy disk", busy.median("downtime"), 5, "ms"),
    ]


# So many reads at once, each of so many KiB.
READS = {"4 KiB, one at a time": (1, 4), "4 KiB, 32 at a time": (32, 4),
         "1 MiB, 4 at a time": (4, 1024)}
READ_BLOCKS = 65536
WARM_UP_SECONDS, READ_SECONDS = 0.5, 2


@dataclass
class ReadsSoFar:
    reads: int
    microseconds: int  # since the guest began
    cpu: float  # seconds, of the process


def _reads(boot):
    """Reads a second, by the guest's clock, and what each takes of the processor."""
    with boot() as vm:
        begun = time.monotonic()
        first = last = _reads_so_far(vm)
        while time.monotonic() < begun + WARM_UP_SECONDS:
            first = last = _reads_so_far(vm)
        while last.microseconds < first.microseconds + 1e6 * READ_SECONDS:
            last = _reads_so_far(vm)
    reads = last.reads - first.reads
    return {"reads": 1e6 * reads / (last.microseconds - first.microseconds),
            "read_cpu": 1e6 * (last.cpu - first.cpu) / reads}


def _reads_so_far(vm):
    told = vm.stdout.wait_for(guest.DISK_READS, start=vm.stdout.size())
    return ReadsSoFar(int(told[1]), int(told[2]), vm.cpu_seconds())


def _reading(programs, how, ferry_disk, qemu_drive):
    """Two arms: the same reads of a disk as Ferry and as QEMU are told of it."""
    depth, kib = READS[how]
    cmdline = f"disk={READ_BLOCKS} disk-reads={depth} disk-kib={kib}"
    return {
        f"ferry, {how}": lambda: _reads(lambda: Ferry(
            programs.ferry, f"{programs.directory}/api", "run", "--kernel", programs.kernel,
            "--memory", f"{MEMORY_MIB}M", "--cmdline", cmdline, "--disk", ferry_disk)),
        f"qemu, {how}": lambda: _reads(lambda: Qemu(
            programs.kernel, MEMORY_MIB, cmdline, machine="pc", devices=(
                "-object", "iothread,id=io", "-drive", f"if=none,id=disk,format=raw,{qemu_drive}",
                "-device", "virtio-blk-pci,disable-legacy=on,drive=disk,iothread=io"))),
    }


def reads(programs, run):
    # In a file system as images are in, which a tmpfs is not.
    with tempfile.TemporaryDirectory(prefix="ferry-bench-", dir="/var/tmp") as directory:
        disk = f"{directory}/disk"
        with open(disk, "wb") as file:
            for _ in range(READ_BLOCKS // 256):
                file.write(os.urandom(256 * 4096))
        run.interleaved({name: arm for how in READS
                         for name, arm in _reading(programs, how, disk, f"file={disk}").items()})


def reads_bars(samples):
    bars = []
    for how in READS:
        ferry, qemu = samples[f"ferry, {how}"], samples[f"qemu, {how}"]
        bars += [
            Bar(f"reads, {how}, against QEMU", ferry.median("reads"), qemu.median("reads"), "/s",
                at_least=True),
            Bar(f"CPU a read, {how}, against QEMU", ferry.median("read_cpu"),
                qemu.median("read_cpu"), "us"),
        ]
    return bars


def slow_reads(programs, run):
    """The server answers each request after a millisecond, and takes the next meanwhile."""
    socket = f"{programs.directory}/nbd"
    server = Child(["nbdkit", "--foreground", "--exit-with-parent", "--unix", socket, "--threads",
                    "64", "--filter=delay", "memory", f"{READ_BLOCKS * 4}K", "rdelay=1ms"])
    with server:
        end = time.monotonic() + DEADLINE
        while not os.path.exists(socket):
            if time.monotonic() > end:
                raise Failed(f"nbdkit listens to nothing: {server.stderr.text()}")
            time.sleep(0.01)
        run.interleaved({name: arm for how in SLOW for name, arm in _reading(
            programs, how, f"nbd:nbd+unix:///?socket={socket}",
            f"file=nbd+unix:///?socket={socket}").items()})


SLOW = list(READS)[:2]


def slow_reads_bars(samples):
    one, many = SLOW
    return [
        Bar("reads of many at a time against 20 x one at a time",
            samples[f"ferry, {many}"].median("reads"), 20 * samples[f"ferry, {one}"].median("reads"),
            "/s", at_least=True),
        Bar(f"reads, {many}, against QEMU", samples[f"ferry, {many}"].median("reads"),
            samples[f"qemu, {many}"].median("reads"), "/s", at_least=True),
    ]


CASES = {
    f"downtime-{mode}": Case(
        f"100 MiB filled; a disk as busy as the guest can keep it; {mode}", _in_mode(mode),
        _downtime_bars)
    for mode in ("pre-copy", "post-copy", "hybrid", "auto")
} | {
    "reads": Case("a guest that reads a disk image, cached by the host, in random order", reads,
                  reads_bars),
    "slow-reads": Case("the same of a server that answers after 1 ms", slow_reads, slow_reads_bars),
}
