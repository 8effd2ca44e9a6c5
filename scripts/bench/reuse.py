"""The cases of memory reuse: guests that return, and the bars that Ferry has to reach."""

import contextlib
import os
import subprocess
import tempfile
from dataclasses import replace

from . import guest
from .bars import Bar
from .cases import FILLED_1G, Case, arms_of
from .ferry import FerryArm
from .measure import MIB
from .migration import warm

MEMORY_MIB = 1024
# A fifth of the filled pages, as in the paper's table.
CHANGED = 1000 * 256 // 5
HASH_BYTES = 16
TICK_LINES = 10  # one a second


def _store(programs, name):
    """A new, empty store for images. The directory of the benchmark is on a tmpfs."""
    return ("--image-store", tempfile.mkdtemp(prefix=f"{name}-", dir=programs.directory))


def _arm(programs, name, cmdline, memory_mib=MEMORY_MIB, **options):
    """Ferry, with control sockets of its own."""
    directory = os.path.join(programs.directory, name)
    os.makedirs(directory, exist_ok=True)
    return FerryArm(programs.ferry, directory, programs.kernel, memory_mib, cmdline, **options)


def _way_back(programs, cmdline, back=(), change=False):
    """Moves a guest to B, whose A keeps its image, and returns the numbers of its way back to A."""
    here, there = _store(programs, "a"), _store(programs, "b")
    out = _arm(programs, "out", cmdline, options=("--keep-image",), run_options=here,
               receive_options=there)
    home = _arm(programs, "home", cmdline, options=back, receive_options=here)
    with warm(MEMORY_MIB):
        pass
    with out.boot() as source:
        source.stdout.wait_for(guest.FILLED)
        with out.receiver() as away:
            out.migrate(source, away, out.prepare(source, away))
            away.stdout.wait_for(guest.TICK_LINE)
            if change:
                away.write(b"c")
                away.stdout.wait_for(rb"^# change .*\n")
            with home.receiver() as target:
                to = home.prepare(away, target)
                cpu = sum(each.cpu_seconds() for each in (source, away, target))
                home.migrate(away, target, to)
                cpu = sum(each.cpu_seconds() for each in (source, away, target)) - cpu
                target.stdout.wait_for(guest.TICK_LINE)
                report = home.report(away)
                return {**report, **home.reuse(), "wire": report["wire"] / MIB, "cpu": cpu}


def returns(programs, run):
    cmdline = f"tick=2 {FILLED_1G}"
    run.migrations({
        "ferry, pre-copy": lambda: _way_back(programs, cmdline, ("--mode", "pre-copy")),
        "ferry, post-copy": lambda: _way_back(programs, cmdline, ("--mode", "post-copy")),
        # It has no other way back than the way there.
        **arms_of(programs, MEMORY_MIB, cmdline, {}, {"qemu": {}}),
    })


def returns_bars(samples):
    for name, arm in samples.items():
        if name.startswith("ferry"):
            yield Bar(f"total ({name})", arm.median("total"), 150, "ms")
            yield Bar(f"downtime ({name})", arm.median("downtime"), 10, "ms")
            yield Bar(f"wire bytes ({name})", arm.median("wire"), 1, "MiB")


def content(programs, run):
    cmdline = f"tick=2 {FILLED_1G} zero=0 random=100 text=0 change={CHANGED}"
    run.migrations({
        way: lambda way=way: _way_back(programs, cmdline,
                                       ("--mode", "pre-copy", "--reuse", way), change=True)
        for way in ("generation", "content")
    })


def content_bars(samples):
    hashes = MEMORY_MIB * MIB / 4096 * HASH_BYTES / MIB
    exact = samples["generation"].median("both_ways")
    return [
        Bar("bytes, content against 1.03 x generation + the hashes",
            samples["content"].median("both_ways"), 1.03 * exact + hashes, "MiB"),
    ]


def _writes(programs, dirty, tracking):
    """The writes per second of a guest that has arrived from a host which kept its image."""
    # Small, so that a slow host can do it too: what the tracking costs depends on the writes alone.
    arm = _arm(programs, "tracking", f"tick=10 fill=100 ws=64 {dirty}", memory_mib=256,
               options=("--keep-image", "--mode", "post-copy"), run_options=_store(programs, "a"),
               receive_options=(*_store(programs, "b"), "--tracking", tracking))
    with arm.boot() as source:
        source.stdout.wait_for(guest.FILLED)
        with arm.receiver() as target:
            arm.migrate(source, target, arm.prepare(source, target))
            for _ in range(TICK_LINES + 1):
                target.stdout.wait_for(guest.TICK_LINE, start=target.stdout.size())
            first, *_, last = guest.history(target.stdout).lines[-TICK_LINES:]
    return {"writes": (last.writes - first.writes) / (last.guest_seconds - first.guest_seconds)}


LOADS = {"20 000/s": "dirty=20000", "all it can": "dirty=100000000"}


def tracking(programs, run):
    run.migrations({
        f"{load}, tracking {way}": lambda dirty=dirty, way=way: _writes(programs, dirty, way)
        for load, dirty in LOADS.items() for way in ("on", "off")
    })


def tracking_bars(samples):
    return [
        Bar(f"writes per second ({load}) with tracking against 0.9 x without",
            samples[f"{load}, tracking on"].median("writes"),
            0.9 * samples[f"{load}, tracking off"].median("writes"), "/s", at_least=True)
        for load in LOADS
    ]


MODES = ("pre-copy", "post-copy")
# Stores by the pages that their tmpfs gives.
STORES = ("RAM in a store", "RAM in a store of huge pages")


@contextlib.contextmanager
def _huge_tmpfs(programs):
    """A tmpfs that gives huge pages; to mount it takes root."""
    directory = tempfile.mkdtemp(prefix="huge-", dir=programs.directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=advise,mode=0700", "tmpfs", directory],
                   check=True)
    try:
        yield replace(programs, directory=directory)
    finally:
        subprocess.run(["umount", directory], check=True)


def file_ram(programs, run):
    plain = arms_of(programs, MEMORY_MIB, f"tick=2 {FILLED_1G}",
                    {mode: f"--mode {mode}" for mode in MODES}, {})
    with _huge_tmpfs(programs) as huge:
        stored = {
            f"{mode}, {name}": replace(arm, run_options=_store(where, "a"),
                                       receive_options=_store(where, "b"))
            for name, where in zip(STORES, (programs, huge), strict=True)
            for mode, arm in plain.items()
        }
        run.migrations({**plain, **stored})


def file_ram_bars(samples):
    return [
        Bar(f"total ({mode}, {name}) against 1.25 x without",
            samples[f"{mode}, {name}"].median("total"), 1.25 * samples[mode].median("total"), "ms")
        for name in STORES for mode in MODES
    ]


CASES = {
    "returns-1g": Case("1 GiB, 700 MiB of it not zero, returns almost unchanged",
                       returns, lambda samples: list(returns_bars(samples))),
    "content-1g": Case("1 GiB returns with a fifth of its pages changed, all incompressible",
                       content, content_bars),
    "tracking": Case("what a guest writes at the host that it moved to",
                     tracking, tracking_bars),
    "file-ram": Case("1 GiB, 700 MiB of it not zero, RAM a file on a tmpfs",
                     file_ram, file_ram_bars),
}
