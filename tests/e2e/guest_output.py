"""What the tiny guest wrote, put together over all the processes that it ran in."""

import re
import string

LETTERS = string.ascii_lowercase
FNV_BASIS, FNV_PRIME = 2166136261, 16777619


def fnv1a(data):
    """The hash by which the guest tells which bytes it got."""
    value = FNV_BASIS
    for byte in data:
        value = ((value ^ byte) * FNV_PRIME) & 0xFFFFFFFF
    return value


class GuestOutput:
    """Tick letters and '# ' lines of one guest, from the outputs of its legs in their order.

    A leg may begin amid a line that the leg before it began: only the whole makes lines.
    """

    def __init__(self, *legs):
        text = b"".join(legs).decode("ascii", "backslashreplace")
        self.letters = ""
        self.lines = []  # (ticks seen before it, the line without '# ')
        for line in text.split("\n"):
            if line.startswith("#"):
                self.lines.append((len(self.letters), line[1:].strip()))
            else:
                self.letters += line

    @property
    def ticks(self):
        return len(self.letters)

    def matching(self, pattern):
        return [match for _, line in self.lines if (match := re.search(pattern, line))]

    def problems(self):
        """Everything that must not be in the output of a guest that was moved rightly."""
        return [*self._wrong_letters(), *self._wrong_counters(), *self._errors()]

    def _wrong_letters(self):
        for index, letter in enumerate(self.letters):
            wanted = LETTERS[index % len(LETTERS)]
            if letter != wanted:
                around = self.letters[max(0, index - 20) : index + 20]
                yield f"tick {index} is {letter!r}, not {wanted!r}: ...{around}..."
                return

    def _wrong_counters(self):
        for seen, line in self.lines:
            match = re.match(r"(?:tick |end ticks=)(\d+)\b", line)
            if match and int(match[1]) != seen:
                yield f"the guest counted {match[1]} ticks where {seen} letters arrived"

    def _errors(self):
        for _, line in self.lines:
            if line.startswith("error"):
                yield f"the guest reports: {line}"
