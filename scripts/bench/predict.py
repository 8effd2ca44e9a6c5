"""Predictions against what happens."""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass

from . import guest
from .child import DEADLINE, Child, Failed
from .ferry import PROGRAM, Ferry
from .steady import memory_stays

KERNEL = "build/release/guest/ferry-guest.elf"
MODES = ("pre-copy", "post-copy", "hybrid", "auto")
MBIT = 125_000


@dataclass
class Guest:
    name: str
    memory_mib: int
    cmdline: str
    caps_mbit: tuple
    options: str = ""


# The constants of migration/forecast were fitted to these, and are judged by the others.
FIT = [
    Guest("fit idle", 512, "tick=10 fill=480", (500, 1000)),
    Guest("fit uniform", 512, "tick=10 fill=480 dirty=8000", (500, 1000)),
]
JUDGED = [
    Guest("idle 256M", 256, "tick=10 fill=200", (100, 1000)),
    Guest("idle 1G", 1024, "tick=10 fill=1000", (2000,)),
    Guest("uniform 1G", 1024, "tick=10 fill=1000 dirty=10000", (1000,)),
    Guest("part 1G", 1024, "tick=10 fill=800 dirty=20000 ws=64", (1000, 2000)),
    Guest("skew 1G", 1024, "tick=10 fill=900 dirty=15000 ws-at=30 skew=90/10", (500, 1500)),
    Guest("busy 256M", 256, "tick=10 fill=200 dirty=30000", (200,), "--max-rounds 6"),
]


class Case:
    """One move and what was said of it."""

    def __init__(self, name, said, report, max_downtime_ms=50):
        self.name = name
        self.said = said
        self.total = report["total_ms"]
        self.downtime = report["downtime_ms"]
        self.wire = report["wire_bytes"]
        self.rounds = len(report["rounds"])
        self.converged = (report["switched"] is None and self.downtime <= 1.5 * max_downtime_ms)

    def error(self, name, happened):
        return abs(self.said[name] - happened) / happened * 100

    @property
    def wire_error(self):
        return self.error("wire_bytes", self.wire)

    @property
    def total_error(self):
        return self.error("total_ms", self.total)

    @property
    def in_range(self):
        least, most = self.said["downtime_ms_range"]
        return least <= self.downtime <= most

    def line(self):
        least, most = self.said["downtime_ms_range"]
        mib = 1 << 20
        return (f"{self.name:38} wire {self.said['wire_bytes'] / mib:8.1f} {self.wire / mib:8.1f} MiB"
                f" ({self.wire_error:5.1f} %)  total {self.said['total_ms']:8.0f} {self.total:8.0f} ms"
                f" ({self.total_error:5.1f} %)  downtime {self.said['downtime_ms']:7.1f}"
                f" [{least:.1f}, {most:.1f}] {self.downtime:7.1f} ms{'' if self.in_range else ' OUT'}"
                f"  rounds {self.said['rounds']} {self.rounds}"
                f"  converges {self.said['converges']}")


def run_json(*args):
    with Child([PROGRAM, *args, "--json"]) as client:
        if client.wait(2 * DEADLINE) != 0:
            raise Failed(f"ferry {args[0]}: {client.stderr.text()}")
        return json.loads(client.stdout.text())


def move_around(one, modes, directory, repeat):
    """Moves the guest on and on; yields a Case for each move."""
    number = 0
    source = Ferry(PROGRAM, f"{directory}/0", "run", "--kernel", KERNEL, "--memory",
                   f"{one.memory_mib}M", "--cmdline", one.cmdline)
    try:
        source.stdout.wait_for(guest.FILLED)
        time.sleep(1)
        for cap in [cap for _ in range(repeat) for cap in one.caps_mbit]:
            for mode in modes:
                number += 1
                target = Ferry(PROGRAM, f"{directory}/{number}", "receive", "--listen",
                               "tcp:127.0.0.1:0")
                try:
                    to = target.stderr.wait_for(rb"^listening on (\S+)\n")[1].decode()
                    options = ["--api-socket", source.api, "--max-bandwidth", f"{cap}Mbit",
                               *one.options.split()]
                    said = run_json("predict", *options)
                    report = run_json("migrate", *options, "--mode", mode, "--to", to)
                except BaseException:
                    target.close()
                    raise
                source.close()
                source = target
                yield Case(f"{one.name}, {cap} Mbit/s, {mode}", said["modes"][mode], report), mode
                target.stdout.wait_for(guest.TICK_LINE, start=target.stdout.size())
    finally:
        source.close()


def bars(cases, modes):
    total = sorted(case.total_error for case in cases)
    held = sum(case.in_range for case in cases)
    judged = [case for case, mode in zip(cases, modes) if mode in ("pre-copy", "auto")]
    right = sum(case.said["converges"] == case.converged for case in judged)
    return [
        ("wire bytes, median of the errors, %",
         statistics.median(case.wire_error for case in cases), 5, False),
        ("total, median of the errors, %", statistics.median(total), 10, False),
        ("total, nine of ten, %", total[int(0.9 * (len(total) - 1))], 20, False),
        ("downtime within its range, % of the moves", 100 * held / len(cases), 90, True),
        ("right about convergence, %", 100 * right / max(1, len(judged)), 95, True),
    ]


def main(about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--fit", action="store_true", help="the guests of the fit instead")
    parser.add_argument("--mode", action="append", help="this mode only; may be repeated")
    parser.add_argument("--guest", help="guests with this in their names only")
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    cases, modes = [], []
    with memory_stays(), tempfile.TemporaryDirectory(prefix="ferry-bench-") as directory:
        for number, one in enumerate(FIT if args.fit else JUDGED):
            if args.guest and args.guest not in one.name:
                continue
            place = f"{directory}/{number}"
            os.mkdir(place)
            for case, mode in move_around(one, args.mode or MODES, place, args.repeat):
                print(case.line(), flush=True)
                cases.append(case)
                modes.append(mode)
    good = True
    for what, value, limit, at_least in bars(cases, modes):
        passed = value >= limit if at_least else value <= limit
        good = good and passed
        print(f"{'PASS' if passed else 'FAIL'}  {what}: {value:.3g}"
              f" {'>=' if at_least else '<='} {limit}")
    return 0 if good else 1
