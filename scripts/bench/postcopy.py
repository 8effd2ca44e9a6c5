"""The cases of post-copy: which ways to migrate which guest, and the bars that Ferry has to reach."""

import subprocess

from .bars import Bar, best
from .cases import FILLED_1G, Case, arms_of
from .migration import measure_prepaging, warm
from .child import DEADLINE, Failed

POST_COPY = "--mode post-copy"
QEMU = {
    "qemu": {"post_copy": True},
    "qemu preempt": {"post_copy": True, "preempt": True},
}
# The pages of these guests are all alike on the wire: 4 KiB.
INCOMPRESSIBLE = "zero=0 random=100 text=0"
TICK_MS = 1  # of the guest whose switch is watched
CAP = "--max-bandwidth 300Mbit"  # 9155 such pages a second


def _channels(name, options=POST_COPY):
    return {f"{name}, {n}": f"{options} --channels {n}" for n in (1, 2)}


def switch(programs, run):
    arms = {}
    for size, memory_mib in (("128 MiB", 128), ("4 GiB", 4096)):
        arms |= {
            f"{name}, {size}": arm
            for name, arm in arms_of(programs, memory_mib, f"tick={TICK_MS} fill=64",
                                     {"ferry": POST_COPY}, QEMU).items()
        }
    run.migrations(arms)


def switch_bars(samples):
    def worst(arm):
        """How late the guest was at the most, as it saw it or who looks at its console."""
        return max(samples[arm].median("gap") - TICK_MS, samples[arm].median("stall"))

    sizes = ("128 MiB", "4 GiB")
    downtimes = [samples[f"ferry, {size}"].median("downtime") for size in sizes]
    bars = [
        Bar(f"downtime, {size}", downtime, 5, "ms") for size, downtime in zip(sizes, downtimes)
    ]
    bars.append(Bar("the longer downtime against 1.5 x the other", max(downtimes),
                    1.5 * min(downtimes), "ms"))
    for size in sizes:
        peer = min((f"{name}, {size}" for name in QEMU), key=worst)
        bars.append(Bar(f"worst stall, {size}, against 0.5 x {peer}", worst(f"ferry, {size}"),
                        0.5 * worst(peer), "ms"))
    return [*bars, *_nothing_resent(samples)]


def _nothing_resent(samples):
    """Pages that pure post-copy sent more than once, in any run."""
    resent = [
        count for numbers in samples.values() for count in numbers.values.get("resent", ())
    ]
    return [Bar("pages sent more than once, all runs", sum(resent), 0, "")]


def _fault_floor(program, *arguments):
    """The time of a fault and nothing else, while the cores are busy."""
    with warm(512):
        pass
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=2 * DEADLINE)
    if done.returncode != 0:
        raise Failed(f"{program}: {done.stderr}")
    lines = {name: map(float, rest) for name, *rest in map(str.split, done.stdout.splitlines())}
    result = {}
    for kind, name in (("service", "fault"), ("fault", "wait")):
        if kind in lines:
            result |= zip((f"{name}_p50", f"{name}_p99", f"{name}_max"), lines[kind])
    return result


GUEST_FLOOR = "floor, guest"  # a virtual processor reads the pages


def faults(programs, run):
    cmdline = f"tick=2 {FILLED_1G} touch=uniform touch-endless irq"
    run.migrations({
        "floor": lambda: _fault_floor(programs.fault_floor),
        GUEST_FLOOR: lambda: _fault_floor(programs.fault_floor, "guest"),
        **arms_of(programs, 1024, cmdline, _channels("ferry"), QEMU),
    })


def faults_bars(samples):
    floor, peer = samples["floor"], samples["qemu preempt"]
    name, _ = best(samples, "ferry", "wait_p99")
    arm = samples[name]

    def against(what, key, factor, other):
        return Bar(f"{what} of {name}", arm.median(key), factor * other.median(key), "us")

    return [
        Bar(f"faults that {name} tells of", arm.median("faults"), 100, "", at_least=True),
        against("fault p50 against 1.5 x the floor", "fault_p50", 1.5, floor),
        against("fault p99 against 4 x the floor", "fault_p99", 4, floor),
        against("guest's wait p50 against QEMU preempt", "wait_p50", 1, peer),
        against("guest's wait p99 against QEMU preempt", "wait_p99", 1, peer),
        *_nothing_resent(samples),
    ]


def _total(dirty):
    def measure(programs, run):
        ferry = {**_channels("ferry"), **_channels("pre-copy", "--mode pre-copy")}
        run.migrations(arms_of(programs, 1024, f"tick=2 {FILLED_1G}{dirty}", ferry, QEMU))

    return measure


def total_bars(samples):
    arm, total = best(samples, "ferry")
    peer, peer_total = best(samples, "qemu")
    other, other_total = best(samples, "pre-copy")
    return [
        Bar(f"total ({arm}) against 0.8 x the best ({peer})", total, 0.8 * peer_total, "ms"),
        Bar(f"total ({arm}) against 1.3 x {other}", total, 1.3 * other_total, "ms"),
        *_nothing_resent(samples),
    ]


WAYS = ("bubbling", "linear", "none")
PREPAGED = f"fill=64 {INCOMPRESSIBLE} irq"


def _prepaging(touch, most_seconds):
    """The guest reads more slowly than pages come, so that what is pushed can be in time."""

    def measure(programs, run):
        ferry = {way: f"{POST_COPY} {CAP} --prepaging {way}" for way in WAYS}
        arms = arms_of(programs, 128, f"tick=10 {PREPAGED} {touch}", ferry, {})
        run.migrations({
            way: lambda way=way: measure_prepaging(arms[way], way != "none", most_seconds)
            for way in WAYS
        })

    return measure


def prepaging_bars(samples):
    share = {way: samples[way].median("fault_share") for way in WAYS}
    bubbling = share["bubbling"]
    return [
        Bar("network faults, none, of the pages read: all of them are counted", share["none"], 90,
            "%", at_least=True),
        Bar("network faults, bubbling, of the pages read", bubbling, 21, "%"),
        Bar("network faults, bubbling against 0.5 x linear", bubbling, 0.5 * share["linear"], "%"),
        Bar("network faults, bubbling against 0.25 x none", bubbling, 0.25 * share["none"], "%"),
    ]


def converge(programs, run):
    cmdline = f"tick=10 fill=256 {INCOMPRESSIBLE} dirty=100000000"
    run.migrations(arms_of(programs, 512, cmdline, {"ferry": f"--mode auto {CAP}"}, {}))


def converge_bars(samples):
    """That the migration ended at all was required by the measurement."""
    arm = samples["ferry"]
    return [
        Bar("wire bytes against 1.6 x the RAM used", arm.median("wire"), 1.6 * arm.median("ram"),
            "MiB"),
        Bar("throttle, all runs", max(arm.values["throttle"]), 0, "%"),
    ]


CASES = {
    "switch": Case("64 MiB filled of 128 MiB and of 4 GiB, a guest that only ticks",
                   switch, switch_bars),
    "faults": Case("1 GiB, 700 MiB of it not zero, read at random as fast as the guest can",
                   faults, faults_bars),
    "total-idle": Case("the same memory, a guest that only ticks", _total(""), total_bars),
    "total-dirty": Case("the same, 64 MiB of it dirtied by 20 000 writes/s",
                        _total(" dirty=20000 ws=64"), total_bars),
    "prepaging-sequential": Case("64 MiB at 300 Mbit/s, each page read once, 4000 a second",
                                 _prepaging("touch=sequential touch-rate=4000", 60),
                                 prepaging_bars),
    "prepaging-skew": Case("the same, 2000 reads a second, 90 % of them in an eighth",
                           _prepaging("touch=skew touch-rate=2000", 60), prepaging_bars),
    "converge": Case("256 MiB dirtied as fast as the guest can, at 300 Mbit/s, --mode auto",
                     converge, converge_bars),
}
