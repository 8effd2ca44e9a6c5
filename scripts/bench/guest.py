"""What the tiny guest wrote (docs/guest.md), with the host's time of each piece."""

import re
from dataclasses import dataclass, field

DISK_READS = rb"^# disk reads=(?P<count>\d+) time_us=(?P<time>\d+)\n"
FRAMES_SENT = rb"^# net sent=(?P<count>\d+) came=\d+ time_us=(?P<time>\d+)\n"
FRAMES_CAME = rb"^# net sent=\d+ came=(?P<count>\d+) time_us=(?P<time>\d+)\n"
FILLED = rb"^# fill done .*\n"
TICK_LINE = rb"^# tick .*\n"
_TICK = re.compile(r"# tick \d+ time_us=(?P<time_us>\d+) stall_us=(?P<stall_us>\d+)")
_WRITES = re.compile(r" writes=(\d+)")
READS_SO_FAR = rb"^# touch (pass=\d+ so-far .*)\n"
READS_DONE = rb"^# touch (pass=\d+ done .*)\n"


def reads(line):
    """The numbers of a line about `touch`, by name."""
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", line.decode())}


@dataclass
class TickLine:
    came: float  # time.monotonic() of its end
    guest_seconds: float
    stall_ms: float
    writes: int


@dataclass
class History:
    """One guest over all the processes that it ran in."""

    signs: list = field(default_factory=list)  # time.monotonic() of all that came
    lines: list = field(default_factory=list)  # TickLine

    def longest_gap_ms(self, start, end):
        """The longest silence of which one end lies in the interval. A line that reports takes
        longer to print than many a gap between ticks, and is no gap."""
        inside = [
            later - earlier
            for earlier, later in zip(self.signs, self.signs[1:])
            if later >= start and earlier <= end
        ]
        return max(inside) * 1e3

    def worst_stall_ms(self, start, end):
        """The worst stall that the guest saw by its TSC, in the report lines that cover the
        interval: up to and including the first one after its end."""
        worst = 0.0
        for line in self.lines:
            if line.came > start:
                worst = max(worst, line.stall_ms)
            if line.came > end:
                break
        return worst

    def writes_per_second(self, start, end, seconds):
        """The guest's write rate in `seconds` of migration between two report lines: what is
        missing there, against the rate before, is missing because of the migration."""
        before = [line for line in self.lines if line.came <= start]
        first, last = before[0], before[-1]
        after = next(line for line in self.lines if line.came > end)
        usual = (last.writes - first.writes) / (last.guest_seconds - first.guest_seconds)
        outside = after.guest_seconds - last.guest_seconds - seconds
        return max(0.0, (after.writes - last.writes - usual * outside) / seconds)


def history(*streams):
    """The history from the consoles of the guest's processes, in their order. A line may begin in
    one and end in the next."""
    result = History()
    line = bytearray()
    for stream in streams:
        for came, chunk in stream.chunks:
            result.signs.append(came)
            for byte in chunk:
                if byte == ord("\n"):
                    _take_line(result, came, line.decode("ascii", "backslashreplace"))
                    line.clear()
                    continue
                line.append(byte)
    return result


def _take_line(result, came, text):
    if text.startswith("# error"):
        raise RuntimeError(f"the guest found something wrong: {text}")
    if match := _TICK.match(text):
        writes = _WRITES.search(text)
        result.lines.append(
            TickLine(came, int(match["time_us"]) / 1e6, int(match["stall_us"]) / 1e3,
                     int(writes[1]) if writes else 0)
        )
