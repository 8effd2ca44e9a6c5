"""The paper's Table 1, and Ferry's."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import unittest
from dataclasses import dataclass

from .bars import Bar
from .fleet import MIB, PAGES_PER_MIB, Fleet
from .hosts import GBIT, Host, LimitedLink, SmallCgroup
from .measure import load
from .program import QUIET, ROOT
from .steady import memory_stays

PAGE = 4096
# What the receivers of the guests that do not fit have, all together.
TOO_SMALL = 64 * MIB


@dataclass
class Size:
    """A row of the paper's table. It does not say whose time it is; its bytes alone need 4.7, 9.1
    and 15.0 s one way."""

    guests: int
    fill_mib: int  # each
    changed_percent: float
    here: str
    there: str
    back: str
    milliseconds: int

    @property
    def changed(self):
        """Pages that a guest changes."""
        return round(self.fill_mib * PAGES_PER_MIB * self.changed_percent / 100)


SIZES = {
    5: Size(5, 117, 20.6, "587", "587", "121", 33_922),
    10: Size(10, 114, 19.8, "1143", "1143", "226", 34_398),
    15: Size(15, 125, 20.0, "1874", "1135 (13 VMs)", "-", 35_320),
}
MODES = ("pre-copy", "post-copy")
ARRIVED = 13  # of 15, in the paper


@dataclass
class Arm:
    mode: str
    reuse: bool

    @property
    def name(self):
        return f"{self.mode}, reuse" if self.reuse else self.mode


@dataclass
class Result:
    """What became of the guests of one arm."""

    size: Size
    arm: Arm
    ram_bytes: int
    there: object  # Leg
    back: object  # Leg
    held_bytes: int
    lost: int

    def row(self):
        there, back = self.there, self.back
        return [
            f"{self.size.guests}", self.arm.name, f"{self.ram_bytes / MIB:.0f}",
            f"{there.sent_bytes / MIB:.0f}", f"{back.sent_bytes / MIB:.1f}",
            f"{there.seconds * 1e3:.0f}", f"{back.seconds * 1e3:.0f}",
            *("{:.1f} / {:.1f}".format(*leg.downtime()) for leg in (there, back)),
            f"{there.kept_bytes / MIB:.0f}", f"{self.held_bytes / MIB:.0f}",
            f"{there.cpu_seconds:.2f}", f"{back.cpu_seconds:.2f}", f"{self.lost}",
        ]

    def bars(self):
        count = self.size.guests
        what = f"{count}, {self.arm.name}"
        yield Bar(f"{what}: guests that arrived", len(self.there.reports), count, "", at_least=True)
        yield Bar(f"{what}: guests that returned", len(self.back.reports), count, "", at_least=True)
        yield Bar(f"{what}: guests lost", self.lost, 0, "")
        for name, leg in (("there", self.there), ("back", self.back)):
            yield Bar(f"{what}: {name} against 1.2 x (bytes / link) + 1 s", leg.seconds,
                      1.2 * leg.wire_bytes / GBIT + 1, "s")
        if self.arm.reuse:
            limit = 1.05 * count * self.size.changed * PAGE + count * 65536
            yield Bar(f"{what}: bytes back against 1.05 x changed + 64 KiB each",
                      self.back.wire_bytes / MIB, limit / MIB, "MiB")
            # Without the rules, A would go on holding what it kept.
            yield Bar(f"{what}: held against 0.85 x kept", self.held_bytes / MIB,
                      0.85 * self.there.kept_bytes / MIB, "MiB")

    def numbers(self):
        return {
            "guests": self.size.guests, "arm": self.arm.name, "ram_bytes": self.ram_bytes,
            "held_bytes": self.held_bytes, "lost": self.lost,
            **{name: {"seconds": leg.seconds, "cpu_seconds": leg.cpu_seconds,
                      "reports": leg.reports}
               for name, leg in (("there", self.there), ("back", self.back))},
        }


TITLES = ["VMs", "", "at A MiB", "to B MiB", "back MiB", "ms there", "ms back",
          "downtime ms there", "back (median / worst)", "kept MiB", "held MiB", "CPU s there",
          "CPU s back", "lost"]


def lines(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join([row[0].rjust(widths[0]), row[1].ljust(widths[1]),
                         *(cell.rjust(width) for cell, width in zip(row[2:], widths[2:]))])


def paper_row(size):
    return [f"{size.guests}", "the paper", size.here, size.there, size.back,
            f"{size.milliseconds}", *["-"] * 7, f"{size.guests - ARRIVED if size.guests > 13 else 0}"]


@contextlib.contextmanager
def test_bed(options, arm):
    """Hosts A and B, and guests to be."""
    # Stores of kept images belong in memory, where keeping copies nothing.
    with tempfile.TemporaryDirectory(prefix="ferry-table1-", dir="/dev/shm") as directory:
        with contextlib.closing(LimitedLink()) as link:
            store = [os.path.join(directory, name) if arm.reuse else None for name in "AB"]
            here = Host(link.near, store[0])
            there = Host(link.far, store[1])
            with Fleet(options.ferry, options.guest, directory) as fleet:
                yield here, there, fleet


def settled(held, seconds=5.0):
    """What is held once that does not fall any more: the news about changed pages comes in the
    background."""
    end = time.monotonic() + 4 * seconds
    least, since = held(), time.monotonic()
    while time.monotonic() < min(end, since + seconds):
        time.sleep(0.1)
        if (now := held()) < least:
            least, since = now, time.monotonic()
    return held()


def there_and_back(options, size, arm):
    every = range(size.guests)
    with test_bed(options, arm) as (here, there, fleet):
        fleet.boot(here, size.guests, size.fill_mib, size.changed)
        ram = fleet.ram_bytes()
        keep = ("--keep-image",) if arm.reuse else ()
        out = fleet.move(every, there, ("--mode", arm.mode, *keep))
        arrived = [number for number in every if fleet.homes[number].host is there]
        fleet.change(arrived)
        held = settled(here.held_bytes) if arm.reuse else 0
        back = fleet.move(arrived, here, ("--mode", arm.mode))
        lost = fleet.check_and_end()
        fleet.await_left()
        return Result(size, arm, ram, out, back, held, lost)


def too_many(options, size, arm):
    """B has room for fewer guests than come. Returns lines to print, and bars."""
    surplus = range(ARRIVED, size.guests)
    with contextlib.ExitStack() as stack:
        cgroup = SmallCgroup(TOO_SMALL)
        stack.callback(cgroup.remove)
        here, there, fleet = stack.enter_context(test_bed(options, arm))
        fleet.boot(here, size.guests, size.fill_mib, size.changed)
        leg = fleet.move(range(size.guests), there, ("--mode", arm.mode),
                         {number: cgroup for number in surplus})
        stayed = sum(home.host is here for home in fleet.homes)
        sent = sum(sum(each["pages"][way] for way in ("zero", "raw", "compressed"))
                   for each in leg.refused)
        lost = fleet.check_and_end()
    text = [f"{size.guests} guests, room for {ARRIVED}: {len(leg.reports)} moved in "
            f"{leg.seconds * 1e3:.0f} ms, {stayed} stayed at A and went on, {lost} lost"]
    text += [f"  refused: {each['error']}" for each in leg.refused]
    return text, [
        Bar(f"guests that arrived where {ARRIVED} fit", len(leg.reports), ARRIVED, "",
            at_least=True),
        Bar("guests that stayed and went on", stayed, len(surplus), "", at_least=True),
        Bar("pages sent of those that stayed", sent, 0, ""),
        Bar("guests lost", lost, 0, ""),
    ]


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--vms", type=int, action="append", choices=SIZES, metavar="N",
                        help="only so many guests (5, 10, 15); may be repeated")
    parser.add_argument("--mode", action="append", choices=MODES,
                        help="only this mode; may be repeated")
    parser.add_argument("--arms", choices=("all", "reuse", "plain", "too-many"), default="all",
                        help="only with reuse, only without, or only more guests than B has room "
                        "for")
    parser.add_argument("--json", metavar="FILE", help="write all reports there")
    for name, path in (("ferry", "ferry"), ("guest", "guest/ferry-guest.elf")):
        parser.add_argument(f"--{name}", default=f"{ROOT}/build/release/{path}", metavar="FILE")
    options = parser.parse_args()
    for path in (options.ferry, options.guest):
        if not os.path.exists(path):
            parser.error(f"{path} is missing: run scripts/build, or name another")
    return options


def arms(options):
    for mode in options.mode or MODES:
        if options.arms in ("all", "plain"):
            yield Arm(mode, False)
        if options.arms in ("all", "reuse"):
            yield Arm(mode, True)


def main(description):
    options = arguments(description)
    busy = load()
    print(f"load average {busy:.2f}, {os.cpu_count()} CPUs; a link of 1 Gbit/s; every guest changes "
          "its pages at B; all contents incompressible")
    if busy > QUIET:
        print(f"warning: above {QUIET}: something else runs here, and the times are noise")
    numbers, bars = [], []
    try:
        with memory_stays():
            rows = [TITLES]
            for count in options.vms or SIZES:
                rows.append(paper_row(SIZES[count]))
                for arm in arms(options):
                    print(f"{count} guests, {arm.name}", file=sys.stderr, flush=True)
                    result = there_and_back(options, SIZES[count], arm)
                    rows.append(result.row())
                    bars += result.bars()
                    numbers.append(result.numbers())
            print()
            print("\n".join(lines(rows)))
            if options.arms in ("all", "too-many") and 15 in (options.vms or SIZES):
                text, more = too_many(options, SIZES[15], Arm("pre-copy", False))
                print("\n" + "\n".join(text))
                bars += more
    except unittest.SkipTest as reason:
        print(f"cannot run here: {reason}", file=sys.stderr)
        return 77
    print()
    print("\n".join(bar.line() for bar in bars))
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(numbers, file, indent=1)
    return 0 if all(bar.passed for bar in bars) else 1
