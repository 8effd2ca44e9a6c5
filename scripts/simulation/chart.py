"""Pictures of studies: lines in a plane, as SVG."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 20, 50
COLOURS = ("#0b5fa5", "#c8511b", "#2c8a4b", "#7a4fa3")
STEPS = (1, 2, 2.5, 5, 10)


class Axis:
    """From the least of some values to their most; from 0 unless it is logarithmic."""

    def __init__(self, title, values, begin, end, logarithmic):
        self.title = title
        self._begin, self._end = begin, end
        self._of = math.log10 if logarithmic else float
        self._least = min(values) if logarithmic else 0
        self._most = max(values)
        self.ticks = self._decades() if logarithmic else self._even()

    def _decades(self):
        first, last = math.ceil(math.log10(self._least)), math.floor(math.log10(self._most))
        return [10.0 ** power for power in range(first, last + 1)]

    def _even(self):
        rough = self._most / 6
        size = 10 ** math.floor(math.log10(rough))
        step = next(step * size for step in STEPS if step * size >= rough)
        return [step * number for number in range(math.floor(self._most / step) + 1)]

    def at(self, value):
        least, most = self._of(self._least), self._of(self._most)
        return self._begin + (self._of(value) - least) / (most - least) * (self._end - self._begin)


def line_chart(lines, across, up, logarithmic=False):
    """`lines` are (name, points), and a name that begins with '(' is of a thin one."""
    points = [point for _, line in lines for point in line]
    x = Axis(across, [point[0] for point in points], LEFT, WIDTH - RIGHT, logarithmic)
    y = Axis(up, [point[1] for point in points], HEIGHT - BOTTOM, TOP, logarithmic)
    bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for tick in x.ticks:
        parts.append(f'<path d="M{x.at(tick):.1f} {TOP}V{bottom}" stroke="#ddd"/>'
                     f'<text x="{x.at(tick):.1f}" y="{bottom + 16}" text-anchor="middle">'
                     f'{tick:g}</text>')
    for tick in y.ticks:
        parts.append(f'<path d="M{LEFT} {y.at(tick):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{y.at(tick) + 4:.1f}" text-anchor="end">'
                     f'{tick:g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">'
                 f'{escape(x.title)}</text>')
    parts.append(f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">'
                 f'{escape(y.title)}</text>')
    for number, (name, line) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        style = 'stroke-dasharray="5 4"' if name.startswith("(") else 'stroke-width="2"'
        path = "L".join(f"{x.at(point[0]):.1f} {y.at(point[1]):.1f}" for point in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" {style}/>')
        parts.append(f'<text x="{LEFT + 12}" y="{TOP + 18 + 16 * number}" fill="{colour}">'
                     f'{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])
