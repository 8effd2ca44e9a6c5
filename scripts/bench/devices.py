"""The cases of virtio devices: what they add to a migration."""

from dataclasses import replace

from .bars import Bar
from .cases import Case
from .ferry import FerryArm

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


CASES = {
    f"downtime-{mode}": Case(
        f"100 MiB filled; a disk as busy as the guest can keep it; {mode}", _in_mode(mode),
        _downtime_bars)
    for mode in ("pre-copy", "post-copy", "hybrid", "auto")
}
