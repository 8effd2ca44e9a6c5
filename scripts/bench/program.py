"""The command line of the bench-* programs, and their run over the cases."""

import argparse
import json
import os
import subprocess
import sys

from . import ROOT
from .bars import LEGEND, table
from .cases import Programs, run_case
from .measure import load
from .steady import memory_stays

QUIET = 0.5


def _arguments(description, cases, helpers):
    width = max(map(len, cases))
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=description,
        epilog="cases:\n" + "\n".join(f"  {n.ljust(width)}  {c.about}" for n, c in cases.items())
        + "\n\n" + LEGEND,
    )
    release = f"{ROOT}/build/release"
    files = {"ferry": "ferry", "guest": "guest/ferry-guest.elf", **helpers}
    parser.add_argument("--runs", type=int, default=5, help="runs of each arm (default 5)")
    parser.add_argument("--case", action="append", choices=cases, metavar="NAME",
                        help="only this case; may be repeated")
    parser.add_argument("--arm", metavar="TEXT",
                        help="only arms with this in their name; without bars")
    parser.add_argument("--json", metavar="FILE", help="write all numbers of all runs there")
    for name, path in files.items():
        parser.add_argument(f"--{name}", default=f"{release}/{path}", metavar="FILE")
    options = parser.parse_args()
    for name in files:
        if not os.path.exists(path := getattr(options, name.replace("-", "_"))):
            parser.error(f"{path} is missing: run scripts/build, or name another")
    return options


def _progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def main(description, cases, helpers=None):
    """Runs the cases (name -> Case) that the command line names; returns the exit status. `helpers`
    are programs that the build makes besides, by the name of their option."""
    options = _arguments(description, cases, helpers or {})
    subprocess.run([f"{ROOT}/scripts/install-packages", "bench"], check=True)
    busy = load()
    print(f"load average {busy:.2f}, {os.cpu_count()} CPUs")
    if busy > QUIET:
        print(f"warning: above {QUIET}: something else runs here, and what follows is noise")
    programs = Programs(options.ferry, options.guest, getattr(options, "fault_floor", ""))
    numbers, missed = {}, 0
    for name in options.case or cases:
        case = cases[name]
        with memory_stays():
            samples = run_case(case, programs, options.runs, options.arm,
                               lambda text, name=name: _progress(f"{name}: {text}"))
        numbers[name] = {arm: values.values for arm, values in samples.items()}
        if sys.stderr.isatty():
            _progress("")
        print(f"\n{name}: {case.about}; median (least..most) of {options.runs}")
        print("\n".join(table(samples)), flush=True)
        if not options.arm:
            bars = case.bars(samples)
            missed += sum(not bar.passed for bar in bars)
            print("\n".join(bar.line() for bar in bars), flush=True)
        if options.json:
            with open(options.json, "w", encoding="ascii") as file:
                json.dump(numbers, file, indent=1)
    print(f"\n{LEGEND}")
    return 1 if missed else 0
