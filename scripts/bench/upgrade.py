"""Live upgrade: a newer Ferry takes the VM over from an older one, on the same host."""

import argparse
import os
import subprocess
import tempfile

from guest_output import GuestOutput

from . import ROOT, guest
from .bars import Bar
from .ferry import FerryArm
from .local import LocalArm

MEMORY_MIB = 1024
WORK = "tick=2 fill=256 dirty=2000 ws=16 check end=byte"
TICKS_AFTER = 500


def version(program):
    return subprocess.run([program, "--version"], check=True, capture_output=True,
                          text=True).stdout.strip()


def arguments(description):
    release = f"{ROOT}/build/release"
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--old", default=f"{release}/ferry", metavar="FILE",
                        help="the Ferry that has the VM (default: the one that was built)")
    parser.add_argument("--new", default=f"{release}/ferry", metavar="FILE",
                        help="the Ferry that takes it over (default: the same)")
    parser.add_argument("--guest", default=f"{release}/guest/ferry-guest.elf", metavar="FILE")
    options = parser.parse_args()
    for path in (options.old, options.new, options.guest):
        if not os.path.exists(path):
            parser.error(f"{path} is missing: run scripts/build, or name another")
    return options


def upgrade(old: FerryArm, new: FerryArm):
    """Returns the report, and the guest's output over both processes when it has ended."""
    with old.boot() as before, new.receiver() as after:
        before.stdout.wait_for(guest.FILLED)
        after.stderr.wait_for(rb"^listening on ")
        old.migrate(before, after, f"unix:{new.directory}/handover")
        after.stdout.wait_until(lambda data: GuestOutput(data).ticks >= TICKS_AFTER, 60, "ticks")
        after.write(b"q")
        ended = before.wait(), after.wait()
        return old.last_report, ended, GuestOutput(before.stdout.bytes(), after.stdout.bytes())


def main(description):
    options = arguments(description)
    print(f"old: {options.old}, {version(options.old)}")
    print(f"new: {options.new}, {version(options.new)}")
    with tempfile.TemporaryDirectory(prefix="ferry-upgrade-") as directory:
        arms = [LocalArm(program, directory, options.guest, MEMORY_MIB, WORK, ("--mode", "local"),
                         ram_mib=MEMORY_MIB) for program in (options.old, options.new)]
        report, ended, output = upgrade(*arms)
    print(f"{MEMORY_MIB} MiB of memory handed over in {report['total_ms']:.1f} ms, of which the guest "
          f"stood {report['downtime_ms']:.1f} ms; {output.ticks} ticks over both processes\n")
    found = [
        Bar("statuses of both processes and of the guest", sum(map(abs, ended)), 0, ""),
        Bar("ticks lost or twice, and faults that the guest found", len(output.problems()), 0, ""),
        Bar("pages handed over", report["pages"]["handed_over"], MEMORY_MIB * 256, "",
            at_least=True),
    ]
    print("\n".join(bar.line() for bar in found))
    return 0 if all(bar.passed for bar in found) else 1
