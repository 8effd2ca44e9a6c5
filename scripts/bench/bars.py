"""The table of what was measured, and the bars that Ferry has to reach."""

from dataclasses import dataclass

# name, title, decimals; in the order of the table
COLUMNS = [
    ("total", "total ms", 0),
    ("wall", "wall ms", 0),
    ("downtime", "downtime ms", 1),
    ("blackout", "network blackout ms", 1),
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
    ("reads", "reads/s", 0),
    ("read_cpu", "CPU us a read", 1),
    ("frames", "frames/s", 0),
    ("frame_cpu", "CPU us a frame", 1),
    ("both_ways", "wire, both ways MiB", 1),
    ("pages", "pages", 0),
    ("reused", "pages reused", 0),
    ("duplicate", "duplicate pages", 0),
    ("zstd_share", "by zstd, of compressed %", 0),
    ("delta", "deltas", 0),
    ("delta_bytes", "bytes of a delta", 0),
    ("delta_cache", "delta cache MiB", 0),
    ("references", "pages by reference", 0),
    ("held_back", "pages held back", 0),
    ("resent", "pages resent", 0),
    ("demand", "pages on demand", 0),
    ("pushed", "pages pushed", 0),
    ("faults", "faults", 0),
    ("fault_p50", "fault p50 us", 1),
    ("fault_p99", "fault p99 us", 1),
    ("fault_max", "fault max us", 0),
    ("waits", "guest's waits", 0),
    ("wait_p50", "wait p50 us", 1),
    ("wait_p99", "wait p99 us", 1),
    ("wait_max", "wait max us", 0),
    ("read_first", "pages read", 0),
    ("fault_share", "network faults %", 1),
    ("throttle", "throttle %", 0),
    ("ram", "RAM used MiB", 1),
]

LEGEND = """\
total, downtime, wire: by the program's own report. wall: seen from outside, request to running.
tick gap: the longest silence on the consoles, by the host's clock. guest stall: the worst delay
that the guest saw by its TSC. lo: by the counters of the loopback device. CPU, peak: both
processes, their vCPUs included. +: resident memory beyond the guest's RAM. fault: from when the
program learns of a missing page until it is in place, by its own report. network blackout: the
longest time between two frames of the guest, one a millisecond, at a third host. wait: reads of 20 us and
more from the switch to the end, as the guest saw them by its TSC."""


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


def best(samples, program, name="total"):
    """The arm of a program with the least median, and that median."""
    medians = {
        arm: numbers.median(name) for arm, numbers in samples.items() if arm.startswith(program)
    }
    arm = min(medians, key=medians.get)
    return arm, medians[arm]
