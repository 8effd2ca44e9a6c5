"""One measured migration, the same for every program."""

import contextlib
import json
import os
import sys
import time

from . import guest, measure
from .child import Child, Failed

MIB = measure.MIB
WARM_MARGIN_MIB = 300


@contextlib.contextmanager
def warm(memory_mib):
    """Holds warm memory for a guest of that size; freed with the `with` block, and then at hand."""
    helper = os.path.join(os.path.dirname(__file__), "warm.py")
    args = [sys.executable, "-B", helper, memory_mib + WARM_MARGIN_MIB]
    with Child(args) as child:
        child.stdout.wait_for(rb"^warm\n", deadline=120)
        yield


def peak_mib(child):
    """The peak of resident memory, also of a process that has ended by itself."""
    with contextlib.suppress(OSError):
        if peak := measure.peak_resident_mib(child.pid):
            return peak
    child.wait()
    return child.usage.ru_maxrss / 1024


def measure_migration(arm):
    """Boots a guest, moves it, and returns the numbers by name. A guest that reads pages without
    end does so from before the migration, and counts anew from the switch."""
    with warm(arm.memory_mib):  # the fill of a cold machine takes seconds
        pass
    with arm.boot() as source:
        source.stdout.wait_for(guest.FILLED)
        with arm.receiver() as target:
            if "touch-endless" in arm.cmdline:
                source.write(b"t")
                target.write(arm.input_at_switch)
            return _measure(arm, source, target)


def measure_prepaging(arm, ends, most_seconds):
    """Moves a guest that reads each page of its working set once, from the switch on; returns which
    share of them had to be asked for. Unless the migration `ends` by itself, it is left unfinished."""
    with warm(arm.memory_mib):
        pass
    with arm.boot() as source:
        source.stdout.wait_for(guest.FILLED)
        with arm.receiver() as target:
            to = arm.prepare(source, target)
            target.write(arm.input_at_switch)
            with arm.client(source, to) as client:
                done = target.stdout.wait_for(guest.READS_DONE, deadline=most_seconds)
                if ends and client.wait() != 0:
                    raise Failed(f"ferry migrate: {client.stderr.text()}")
                pages = json.loads(client.stdout.text())["pages"] if ends else arm.pages(source)
    seen = guest.reads(done[1])
    return {
        "demand": pages["demand"],
        "pushed": pages["pushed"],
        "read_first": seen["first"],
        "fault_share": 100 * pages["demand"] / seen["first"],
    }


def _measure(arm, source: Child, target: Child):
    to = arm.prepare(source, target)
    ram = measure.guest_ram_resident_mib(source.pid)
    beyond_running = measure.resident_mib(source.pid) - ram
    # Two report lines give the write rate before; the second starts the migration.
    with warm(arm.memory_mib):
        for _ in range(2):
            source.stdout.wait_for(guest.TICK_LINE, start=source.stdout.size())

    cpu = source.cpu_seconds() + target.cpu_seconds()
    bytes_before = measure.loopback_bytes()
    start = time.monotonic()
    arm.migrate(source, target, to)
    end = time.monotonic()
    cpu = source.cpu_seconds() + target.cpu_seconds() - cpu
    loopback = measure.loopback_bytes() - bytes_before

    waits = {}
    if "touch-endless" in arm.cmdline:
        target.write(b"r")
        waits = _waits(guest.reads(target.stdout.wait_for(guest.READS_SO_FAR)[1]))
    target.stdout.wait_for(guest.TICK_LINE, start=target.stdout.size())
    report = arm.report(source)
    ram_there = measure.guest_ram_resident_mib(target.pid)
    peak_source, peak_target = peak_mib(source), peak_mib(target)
    seen = guest.history(source.stdout, target.stdout)
    result = {
        **report,
        "wall": (end - start) * 1e3,
        "gap": seen.longest_gap_ms(start, end),
        "stall": seen.worst_stall_ms(start, end),
        "wire": report["wire"] / MIB,
        "loopback": loopback / MIB,
        "cpu": cpu,
        "peak_source": peak_source,
        "peak_target": peak_target,
        "beyond_running": beyond_running,
        "beyond_source": peak_source - ram,
        "beyond_target": peak_target - ram_there,
        "ram": ram,
        **waits,
    }
    if seen.lines[-1].writes:
        result["writes"] = seen.writes_per_second(start, end, end - start)
    return result


def _waits(seen):
    if seen["pass"] < 2:
        raise Failed("the byte that waited at the destination began no pass of reads there")
    return {
        "waits": seen["slow"],
        "wait_p50": seen["slow_p50_us"],
        "wait_p99": seen["slow_p99_us"],
        "wait_max": seen["max_us"],
    }


def measure_start(spawn):
    """Milliseconds from spawning to the first byte on the serial port."""
    with spawn() as child:
        child.stdout.wait_for(rb"#")
        return (child.stdout.chunks[0][0] - child.started) * 1e3
