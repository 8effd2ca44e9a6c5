"""How often a guest does something that it counts, and what each time takes of the processor."""

import time
from dataclasses import dataclass

WARM_UP_SECONDS, MEASURED_SECONDS = 0.5, 2


@dataclass
class _SoFar:
    count: int
    microseconds: int  # since the guest began
    cpu: float  # seconds, of the process


def rate(vm, line):
    """Times a second by the guest's clock, and microseconds of CPU time each. `line` (bytes) is a
    pattern of what the guest tells again and again, with groups `count` and `time`."""
    begun = time.monotonic()
    first = last = _so_far(vm, line)
    while time.monotonic() < begun + WARM_UP_SECONDS:
        first = last = _so_far(vm, line)
    while last.microseconds < first.microseconds + 1e6 * MEASURED_SECONDS:
        last = _so_far(vm, line)
    count = last.count - first.count
    return (1e6 * count / (last.microseconds - first.microseconds),
            1e6 * (last.cpu - first.cpu) / max(1, count))


def _so_far(vm, line):
    told = vm.stdout.wait_for(line, start=vm.stdout.size())
    return _SoFar(int(told["count"]), int(told["time"]), vm.cpu_seconds())
