"""The table of what was measured, and the bars that Ferry has to reach."""

from dataclasses import dataclass

from .cases import GBIT
from .measure import MIB

# name, title, decimals; in the order of the table
COLUMNS = [
    ("total", "total ms", 0),
    ("wall", "wall ms", 0),
    ("downtime", "downtime ms", 1),
    ("gap", "tick gap ms", 1),
    ("stall", "guest stall ms", 1),
    ("wire", "wire MiB", 1),
    ("loopback", "lo MiB", 1),
    ("cpu", "CPU s", 2),
    ("writes", "writes/s", 0),
    ("peak_source", "peak source MiB", 0),
    ("peak_target", "peak dest. MiB", 0),
    ("beyond_running", "+ running MiB", 1),
    ("beyond_source", "+ source MiB", 1),
    ("beyond_target", "+ dest. MiB", 1),
    ("first_byte", "first byte ms", 1),
    ("pages", "pages", 0),
]

LEGEND = """\
total, downtime, wire: by the program's own report. wall: seen from outside, request to running.
tick gap: the longest time between two ticks on the consoles, by the host's clock. guest stall: the
worst delay that the guest saw by its TSC. lo: by the counters of the loopback device. CPU, peak:
both processes, their vCPUs included. +: resident memory beyond the guest's RAM."""


def table(samples):
    """The measured numbers of one case as lines: a row per number, a column per arm."""
    rows = [["", *samples]]
    for name, title, decimals in COLUMNS:
        cells = [arm.spread(name, decimals) for arm in samples.values()]
        if any(cell != "-" for cell in cells):
            rows.append([title, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))])
        for row in rows
    ]


@dataclass
class Bar:
    what: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def passed(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self):
        sign = ">=" if self.at_least else "<="
        verdict = "PASS" if self.passed else "FAIL"
        return f"{verdict}  {self.what}: {self.value:.4g} {sign} {self.limit:.4g} {self.unit}".rstrip()


def _best(samples, program, name="total"):
    """The arm of a program with the least median, and that median."""
    medians = {
        arm: numbers.median(name) for arm, numbers in samples.items() if arm.startswith(program)
    }
    arm = min(medians, key=medians.get)
    return arm, medians[arm]


def _uncapped(samples, share, downtime):
    """Total against QEMU's best, with the downtime of the same arm at the same time."""
    arm, total = _best(samples, "ferry")
    peer, peer_total = _best(samples, "qemu")
    return arm, peer, [
        Bar(f"total ({arm}) against {share} x the best ({peer})", total, share * peer_total, "ms"),
        Bar(f"downtime of {arm}", samples[arm].median("downtime"), downtime, "ms"),
    ]


def idle_1g(samples):
    arm, _, bars = _uncapped(samples, 0.9, 5)
    connections = arm.split(", ")[1]
    floor = samples[f"tcp copy, {connections}"].median("total")
    return [
        *bars,
        Bar(f"total ({arm}) against 1.25 x the plain copy", samples[arm].median("total"),
            1.25 * floor, "ms"),
    ]


def dirty_1g(samples):
    arm, peer, bars = _uncapped(samples, 1.0, 10)
    return [
        *bars,
        Bar(f"guest's writes while it migrates ({arm}) against 0.9 x {peer}",
            samples[arm].median("writes"), 0.9 * samples[peer].median("writes"), "/s",
            at_least=True),
    ]


def sparse_4g(samples):
    arm, total = _best(samples, "ferry")
    peer, peer_total = _best(samples, "qemu")
    return [
        Bar(f"total ({arm})", total, 100, "ms"),
        Bar(f"total ({arm}) against 0.2 x the best ({peer})", total, 0.2 * peer_total, "ms"),
    ]


def capped_1g(samples):
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


def memory(samples):
    def worst(name):
        return max(arm.median(name) for arm in samples.values())

    return [
        Bar("beyond guest RAM, running", worst("beyond_running"), 8, "MiB"),
        Bar("beyond guest RAM, migrating, source", worst("beyond_source"), 24, "MiB"),
        Bar("beyond guest RAM, migrating, destination", worst("beyond_target"), 24, "MiB"),
    ]


def start(samples):
    return [
        Bar("first serial byte against 0.2 x QEMU", samples["ferry"].median("first_byte"),
            0.2 * samples["qemu"].median("first_byte"), "ms"),
    ]


BARS = {
    "idle-1g": idle_1g,
    "dirty-1g": dirty_1g,
    "sparse-4g": sparse_4g,
    "capped-1g": capped_1g,
    "memory": memory,
    "start": start,
}
