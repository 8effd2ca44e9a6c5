"""Numbers about processes and the loopback device, and what to make of several of them."""

import os
import re
import statistics

MIB = 1 << 20


def loopback_bytes():
    """Bytes that went through the loopback device, either way, TCP and IP headers included."""
    with open("/proc/net/dev", encoding="ascii") as devices:
        for line in devices:
            name, _, counters = line.partition(":")
            if name.strip() == "lo":
                return int(counters.split()[0])
    return 0


def _status_kib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def resident_mib(pid):
    return _status_kib(pid, "VmRSS") / 1024


def peak_resident_mib(pid):
    return _status_kib(pid, "VmHWM") / 1024


def guest_ram_resident_mib(pid):
    """What is resident of the largest mapping, which is the guest's RAM."""
    largest, resident, current = 0, 0, 0
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps:
        for line in smaps:
            if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                current = int(match[2], 16) - int(match[1], 16)
            elif line.startswith("Rss:") and current > largest:
                largest, resident = current, int(line.split()[1])
    return resident / 1024


def load():
    """Runnable work besides our own over the last minute."""
    return os.getloadavg()[0]


class Samples:
    """The results of several runs of one arm: named numbers, each a list."""

    def __init__(self):
        self.values = {}

    def add(self, result):
        for name, value in result.items():
            if value is not None:
                self.values.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self.values[name]) if name in self.values else None

    def mean(self, name):
        return statistics.mean(self.values[name]) if name in self.values else None

    def spread(self, name, decimals):
        """Median, least and most, as text."""
        values = self.values.get(name)
        if not values:
            return "-"
        middle = statistics.median(values)
        least, most = min(values), max(values)
        text = f"{middle:.{decimals}f}"
        return text if least == most else f"{text} ({least:.{decimals}f}..{most:.{decimals}f})"
