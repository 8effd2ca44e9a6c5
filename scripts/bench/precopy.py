"""The cases of pre-copy: which ways to migrate which guest, and the bars that Ferry has to reach."""

import os

from . import guest
from .bars import Bar, best
from .cases import FILLED_1G, GBIT, Case, arms_of
from .ferry import Ferry
from .measure import MIB
from .migration import measure_start
from .child import run_helper
from .qemu import Qemu, save_ram

QEMU_UNCAPPED = {
    "qemu": {},
    "qemu 30ms": {"downtime_limit_ms": 30},
    "qemu multifd": {"multifd": 2},
    "qemu multifd 30ms": {"multifd": 2, "downtime_limit_ms": 30},
}

# How long a guest writes, and then does not; and the most that the density leaves of the downtime.
# Bursts of 700 ms are longer than what it may wait.
BURSTS = {
    "200/200 ms": ("burst=200/200", 0.5),
    "300/100 ms": ("burst=300/100", 0.5),
    "700/300 ms": ("burst=700/300", 1),
    "always": ("", 1.1),
}


DEFAULTS = "ferry, auto"  # the arm without any option


def _ferry_uncapped(downtime):
    return {DEFAULTS: "",
            **{f"ferry, {n}": f"--max-downtime {downtime} --channels {n}" for n in (1, 2)}}


def idle_1g(programs, run):
    run.migrations(arms_of(programs, 1024, f"tick=2 {FILLED_1G}", _ferry_uncapped("5ms"),
                         QEMU_UNCAPPED, floors=(1, 2)))


def dirty_1g(programs, run):
    run.migrations(arms_of(programs, 1024, f"tick=2 {FILLED_1G} dirty=20000 ws=64",
                         _ferry_uncapped("10ms"), QEMU_UNCAPPED))


def sparse_4g(programs, run):
    run.migrations(arms_of(programs, 4096, "tick=2 fill=64", _ferry_uncapped("50ms"),
                         QEMU_UNCAPPED))


def capped_1g(programs, run):
    cmdline = f"tick=10 {FILLED_1G}"
    path = os.path.join(programs.directory, "ram")
    with Qemu(programs.kernel, 1024, cmdline) as vm:
        vm.stdout.wait_for(guest.FILLED)
        save_ram(vm, 1024 * MIB, path)
    pages, compressed = map(int, run_helper("lz4_reference.py", path).split())
    os.unlink(path)
    run.note("lz4 -1", {"pages": pages, "wire": compressed / MIB})
    run.migrations(arms_of(
        programs, 1024, cmdline,
        {"ferry": "--max-bandwidth 1Gbit"},
        {"qemu": {"bytes_per_second": GBIT},
         "qemu multifd zstd": {"bytes_per_second": GBIT, "multifd": 2, "compression": "zstd"}},
    ))


def hot_last(programs, run):
    """Ferry only: one page in twenty is written twice a second."""
    options = "--max-bandwidth 1Gbit --mode"
    run.migrations(arms_of(
        programs, 1024, f"tick=10 {FILLED_1G} dirty=20000 ws-at=50 skew=90/5",
        {f"{mode}{name}": f"{options} {mode} {how}"
         for mode in ("pre-copy", "hybrid")
         for name, how in (("", ""), (", as met", "--no-hot-last"))}, {},
    ))


def bursts(programs, run):
    """Ferry only: 1 MiB, which takes the link 42 ms, is written again and again, or by bursts."""
    options = ("--mode pre-copy --max-bandwidth 200Mbit --max-downtime 80ms --compression none "
               "--delta-cache 0")
    arms = {}
    for name, (burst, _) in BURSTS.items():
        arms |= arms_of(
            programs, 96, f"tick=2 fill=64 zero=0 random=100 text=0 dirty=20000 ws=1 {burst}",
            {f"{name}, {policy}": f"{options} --stop-policy {policy}"
             for policy in ("first-fit", "density")}, {},
        )
    run.migrations(arms)


def memory(programs, run):
    """Ferry only, both ways in which it needs the most: raw over several connections, and lz4."""
    run.migrations(arms_of(
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


def _uncapped(samples):
    """Of all defaults: total against QEMU's best, with the downtime of the same arm."""
    arm = samples[DEFAULTS]
    peer, peer_total = best(samples, "qemu")
    return peer, [
        Bar(f"total ({DEFAULTS}) against 0.9 x the best ({peer})", arm.median("total"),
            0.9 * peer_total, "ms"),
        Bar(f"downtime of {DEFAULTS}", arm.median("downtime"), 3, "ms"),
    ]


def idle_1g_bars(samples):
    _, bars = _uncapped(samples)
    arm, total = best({name: samples[name] for name in ("ferry, 1", "ferry, 2")}, "ferry")
    connections = arm.split(", ")[1]
    floor = samples[f"tcp copy, {connections}"].median("total")
    return [*bars, Bar(f"total ({arm}) against 1.25 x the plain copy", total, 1.25 * floor, "ms")]


def dirty_1g_bars(samples):
    peer, bars = _uncapped(samples)
    return [
        *bars,
        Bar(f"guest's writes while it migrates ({DEFAULTS}) against 0.9 x {peer}",
            samples[DEFAULTS].median("writes"), 0.9 * samples[peer].median("writes"), "/s",
            at_least=True),
    ]


def sparse_4g_bars(samples):
    arm, total = best(samples, "ferry")
    peer, peer_total = best(samples, "qemu")
    return [
        Bar(f"total ({arm})", total, 100, "ms"),
        Bar(f"total ({arm}) against 0.2 x the best ({peer})", total, 0.2 * peer_total, "ms"),
    ]


def capped_1g_bars(samples):
    ferry = samples["ferry"]
    wire = ferry.median("wire")
    zstd = samples["qemu multifd zstd"]
    return [
        Bar("total against 1.1 x (wire bytes / cap)", ferry.median("total"),
            1.1 * wire * MIB / GBIT * 1e3, "ms"),
        Bar("wire bytes against 1.03 x lz4 -1", wire, 1.03 * samples["lz4 -1"].median("wire"),
            "MiB"),
        Bar("CPU time against 0.4 x QEMU multifd + zstd", ferry.median("cpu"),
            0.4 * zstd.median("cpu"), "s"),
    ]


def hot_last_bars(samples):
    bars = []
    for mode in ("pre-copy", "hybrid"):
        last, as_met = samples[mode], samples[f"{mode}, as met"]
        bars += [
            Bar(f"wire bytes of {mode}, hot pages last", last.median("wire"),
                as_met.median("wire"), "MiB"),
            Bar(f"guest's writes while it migrates by {mode} against 0.98 x as met",
                last.median("writes"), 0.98 * as_met.median("writes"), "/s", at_least=True),
        ]
    return bars


def bursts_bars(samples):
    bars = []
    for name, (_, share) in BURSTS.items():
        density, first_fit = samples[f"{name}, density"], samples[f"{name}, first-fit"]
        bars += [
            Bar(f"mean downtime of {name}, density, against {share} x first-fit",
                density.mean("downtime"), share * first_fit.mean("downtime"), "ms"),
            Bar(f"total of {name}, density, against 1.35 x first-fit",
                density.median("total"), 1.35 * first_fit.median("total"), "ms"),
        ]
    return bars


def memory_bars(samples):
    def worst(name):
        return max(arm.median(name) for arm in samples.values())

    return [
        Bar("beyond guest RAM, running", worst("beyond_running"), 8, "MiB"),
        Bar("beyond guest RAM, migrating, source", worst("beyond_source"), 24, "MiB"),
        Bar("beyond guest RAM, migrating, destination", worst("beyond_target"), 24, "MiB"),
    ]


def start_bars(samples):
    return [
        Bar("first serial byte against 0.2 x QEMU", samples["ferry"].median("first_byte"),
            0.2 * samples["qemu"].median("first_byte"), "ms"),
    ]


CASES = {
    "idle-1g": Case("1 GiB, 700 MiB of it not zero, a guest that only ticks",
                    idle_1g, idle_1g_bars),
    "dirty-1g": Case("the same, 64 MiB of it dirtied by 20 000 writes/s",
                     dirty_1g, dirty_1g_bars),
    "sparse-4g": Case("4 GiB, 64 MiB of it filled",
                      sparse_4g, sparse_4g_bars),
    "capped-1g": Case("the guest of idle-1g at 1 Gbit/s, compressed where it pays",
                      capped_1g, capped_1g_bars),
    "hot-last": Case("1 GiB at 1 Gbit/s, 20 000 writes/s, 90 % of them to 5 % of the pages",
                     hot_last, hot_last_bars),
    "bursts": Case("64 MiB at 200 Mbit/s, 1 MiB written 20 000 times a second, or by bursts",
                   bursts, bursts_bars),
    "memory": Case("what the process needs beyond the guest's RAM",
                   memory, memory_bars),
    "start": Case("from starting the program to the guest's first serial byte",
                  start, start_bars),
}
