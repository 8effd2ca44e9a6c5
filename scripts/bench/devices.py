"""The cases of virtio devices: what they add to a migration, and how fast they are."""

import contextlib
import os
import tempfile
import time

from . import guest, network
from .bars import Bar
from .cases import Case
from .child import DEADLINE, Child, Failed
from .ferry import Ferry, FerryArm
from .migration import measure_start
from .qemu import Qemu
from .rate import rate

MEMORY_MIB = 256
DISK_BLOCKS = 4096  # of 4 KiB
QEMU_MODES = ("pre-copy", "post-copy")
FERRY, BARE, QEMU = "ferry, busy devices", "ferry, no device", "qemu, busy devices"


def _all_devices(disk, net):
    return "--rng", "--balloon", "--disk", disk, "--net", net


def _in_mode(mode):
    cmdline = "tick=2 fill=100"
    busy = f"{cmdline} disk={DISK_BLOCKS} rng net=1000"

    def measure(programs, run):
        disk = f"{programs.directory}/disk"
        with open(disk, "wb") as file:
            file.truncate(DISK_BLOCKS * 4096)
        with contextlib.ExitStack() as stack:
            switch = stack.enter_context(contextlib.closing(network.Switch(*network.TAPS)))
            observer = stack.enter_context(contextlib.closing(network.Observer(switch)))
            here, there = (f"tap:{tap}" for tap in network.TAPS)
            run.migrations({
                BARE: FerryArm(programs.ferry, programs.directory, programs.kernel, MEMORY_MIB,
                               cmdline, ("--mode", mode)),
                FERRY: network.ObservedFerry(
                    programs.ferry, programs.directory, programs.kernel, MEMORY_MIB, busy,
                    ("--mode", mode), _all_devices(disk, here),
                    ("--disk", f"id=disk0,{disk}", "--net", f"id=net0,{there}"),
                    inside=switch.inside, observer=observer),
            } | ({
                QEMU: network.ObservedQemu(
                    programs.kernel, MEMORY_MIB, busy, post_copy=mode == "post-copy", machine="pc",
                    devices=network.qemu_devices(network.TAPS[0], disk),
                    devices_there=network.qemu_devices(network.TAPS[1], disk),
                    inside=switch.inside, observer=observer),
            } if mode in QEMU_MODES else {}))

    return measure


def _downtime_bars(samples):
    busy, bare = samples[FERRY], samples[BARE]
    return [
        Bar("downtime with busy devices against 2 x that without", busy.median("downtime"),
            2 * bare.median("downtime"), "ms"),
        Bar("downtime with busy devices", busy.median("downtime"), 5, "ms"),
        Bar("network blackout against downtime + 5 ms", busy.median("blackout"),
            busy.median("downtime") + 5, "ms"),
        Bar("beyond guest RAM, running, with all devices", busy.median("beyond_running"), 10, "MiB"),
    ]


def start(programs, run):
    disk = f"{programs.directory}/disk"
    with open(disk, "wb") as file:
        file.truncate(DISK_BLOCKS * 4096)
    with contextlib.closing(network.Switch(*network.TAPS)) as switch:
        run.interleaved({
            "ferry": lambda: {"first_byte": measure_start(lambda: Ferry(
                programs.ferry, f"{programs.directory}/api", "run", "--kernel", programs.kernel,
                "--memory", f"{MEMORY_MIB}M", *_all_devices(disk, f"tap:{network.TAPS[0]}"),
                inside=switch.inside))},
            "qemu": lambda: {"first_byte": measure_start(lambda: Qemu(
                programs.kernel, MEMORY_MIB, "", spawn_only=True, machine="microvm,pcie=on",
                devices=network.qemu_devices(network.TAPS[0], disk), inside=switch.inside))},
        })


def start_bars(samples):
    return [Bar("first serial byte against 0.2 x QEMU", samples["ferry"].median("first_byte"),
                0.2 * samples["qemu"].median("first_byte"), "ms")]


# So many reads at once, each of so many KiB.
READS = {"4 KiB, one at a time": (1, 4), "4 KiB, 32 at a time": (32, 4),
         "1 MiB, 4 at a time": (4, 1024)}
READ_BLOCKS = 65536


def _reads(boot):
    with boot() as vm:
        reads, cpu = rate(vm, guest.DISK_READS)
        return {"reads": reads, "read_cpu": cpu}


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
        f"100 MiB filled; a disk as busy as the guest can keep it, a frame each ms; {mode}", _in_mode(mode),
        _downtime_bars)
    for mode in ("pre-copy", "post-copy", "hybrid", "auto")
} | {
    "start": Case("from starting the program with all devices to the guest's first serial byte",
                  start, start_bars),
    "frames": Case("a guest that sends frames through a TAP, or takes them, without pause",
                   network.frames, network.frames_bars),
    "reads": Case("a guest that reads a disk image, cached by the host, in random order", reads,
                  reads_bars),
    "slow-reads": Case("the same of a server that answers after 1 ms", slow_reads, slow_reads_bars),
}
