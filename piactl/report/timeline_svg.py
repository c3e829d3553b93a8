"""Draws the timeline of an account as one self-contained SVG file, for light and dark backgrounds.

The file has no script and loads nothing. All values are escaped text. Patterns and colours both carry the
meaning. A browser shows the days and the reason of a period when the pointer rests on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape

from piactl.core.model.periods import civil
from piactl.core.timeline_rows import Row, RowGroup, Shade, Span
from piactl.report.escaping_and_colours import shown
from piactl.report.timeline_text import LOOKS, MONTHS, legend, month_starts
from piactl.translation import sentence

MEANING = {Shade.LEAVE: "on leave", Shade.LOCK: "locked"}
"""The shades that the legend of a picture explains in its own words."""

PATTERNS = (
    '<pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="p-back" width="6" height="6"/><rect class="p-line" width="3" height="6"/></pattern>'
    '<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse">'
    '<rect class="p-back" width="5" height="5"/><circle class="p-line" cx="2.5" cy="2.5" r="1.4"/></pattern>'
    '<pattern id="cross" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="p-no" width="7" height="7"/><rect class="p-noline" width="2" height="7"/></pattern>'
)

_LIGHT = """
.paper{fill:#fff}.title{fill:#182230}.sub,.key{fill:#5a6778}.group{fill:#44546a}.label{fill:#253143}
.rule{stroke:#d9e0e8}.month{stroke:#eef2f6}.year{stroke:#b9c4d1}.yearword{fill:#253143}.monthword{fill:#6b7889}
.post{fill:#4a6fa5}.leave{fill:#a9a0d8}.active,.login{fill:#2f9e68}.grace{fill:#f0b54a}.soon{fill:#a8d5f2}
.closed{fill:#c3cbd5}.gone{fill:#8c97a5}.held{fill:#2f6fde}.kept{fill:url(#dots)}.handover{fill:url(#stripes)}
.granted{fill:#12958f}.denied,.stop{fill:url(#cross)}.hand{fill:#b06ac4}
.faint{fill:#f6f8fa;stroke:#7f8c9d}.p-back{fill:#cfe0fb}.p-line{fill:#2f6fde}.p-no{fill:#fbdcd9}.p-noline{fill:#cf3d33}
.word{fill:#fff}.w-grace,.w-soon,.w-closed,.w-leave{fill:#182230}.w-gone{fill:#fff}
.today{stroke:#d6336c}.flag{fill:#d6336c}.flagword{fill:#fff}
"""
_DARK = """
.paper{fill:#141a22}.title{fill:#eef2f7}.sub,.key{fill:#9fadbd}.group{fill:#b4c1d0}.label{fill:#dbe3ec}
.rule{stroke:#2b3644}.month{stroke:#1e2732}.year{stroke:#44546a}.yearword{fill:#dbe3ec}.monthword{fill:#8b99aa}
.post{fill:#7fa3d8}.leave{fill:#8f86c9}.active,.login{fill:#3fb57c}.grace{fill:#d99a2b}.soon{fill:#5d9cc4}
.closed{fill:#556272}.gone{fill:#3a4553}.held{fill:#5b94f5}.granted{fill:#2fb5ae}.hand{fill:#c08ad1}
.faint{fill:#1b232d;stroke:#77869a}.p-back{fill:#233a5e}.p-line{fill:#6aa0f8}.p-no{fill:#4a2422}.p-noline{fill:#f0685e}
.word,.w-grace,.w-soon,.w-leave{fill:#0c1118}.w-closed,.w-gone{fill:#eef2f7}
.today{stroke:#f06595}.flag{fill:#f06595}.flagword{fill:#12161c}
"""
STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:12px}"
    ".title{font-size:20px;font-weight:600}.group{font-size:12px;font-weight:700;letter-spacing:.04em}"
    ".sub,.key,.monthword{font-size:11px}.yearword{font-size:12px;font-weight:600}.word{font-size:10px}"
    ".flagword{font-size:10px;font-weight:600}.today{stroke-width:1.5}"
    ".faint{stroke-dasharray:3 2}.rule,.month,.year{stroke-width:1}"
    f"{_LIGHT}@media (prefers-color-scheme:dark){{{_DARK}}}"
)


WIDTH, LEFT, RIGHT = 1120, 214, 22
TOP, ROW, BAR, HEAD, LEGEND = 96, 23, 13, 30, 20
_LETTER = 6.3
"""The approximate width of a letter of a label, in the units of the picture."""

_GROUPS = {
    RowGroup.ASSIGNMENTS: "Assignments",
    RowGroup.STATES: "State",
    RowGroup.LOGIN: "Log in",
    RowGroup.LOCKS: "Locks",
    RowGroup.SERVICES: "Services",
    RowGroup.EXCEPTIONS: "Exceptions",
    RowGroup.OVERRIDES: "By hand",
}


@dataclass(frozen=True, slots=True)
class _Scale:
    first: int
    last: int

    def x(self, day: int) -> float:
        """The x coordinate at which a day begins; outside the picture the nearest edge."""
        part = (day - self.first) / (self.last - self.first + 1)
        return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, min(1.0, part))


def timeline_svg(title: str, rows: Sequence[Row], *, as_of: date, first: date, last: date) -> str:
    """The SVG text of the rows from `first` to `last`, both included."""
    scale = _Scale(first.toordinal(), last.toordinal())
    body = list(_rows(_one_state_row(rows), scale))
    height = TOP + sum(used for used, _ in body) + 14
    legend = _legend(rows, height)
    total = height + 3 * LEGEND if legend else height
    period = _text(f"{first} to {last}")
    description = (
        f"Assignments, states, log in, locks, services and exceptions from {first} to {last}, as of {as_of}."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" '
        f'height="{total}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{_text(title)}</title>',
        f'<desc id="desc">{_text(description)} {_text(_spoken(rows))}</desc>',
        f"<style>{STYLE}</style>",
        f"<defs>{PATTERNS}</defs>",
        f'<rect class="paper" width="{WIDTH}" height="{total}" rx="10"/>',
        f'<text class="title" x="22" y="38">{_text(title)}</text>',
        f'<text class="sub" x="{WIDTH - RIGHT}" y="38" text-anchor="end">{period}</text>',
        *_grid(scale, height - 14),
    ]
    parts += [drawn for _, drawn in body]
    parts += [*_today(scale, as_of, height - 14), *legend, "</svg>"]
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    """External text, escaped so that it is never markup."""
    legal = "".join(c for c in shown(sentence(text)) if ord(c) & 0xFFFE != 0xFFFE)
    return escape(legal, {'"': "&quot;"})


def _spoken(rows: Sequence[Row]) -> str:
    """A text description of the rows, for screen readers."""
    sentences = []
    for row in rows:
        spans = "; ".join(f"{sentence(span.shade.value)} {sentence(_days(span))}" for span in row.spans)
        sentences.append(f"{sentence(row.group.value)}, {sentence(row.label)}: {spans}.")
    return " ".join(sentences)


def _days(span: Span) -> str:
    first, last = civil(span.first), civil(span.last)
    begin = f"from {first} " if first and span.first > 1 else ""
    return f"{begin}to {last}" if last else begin.strip() or "always"


def _one_state_row(rows: Sequence[Row]) -> list[Row]:
    """The rows with all states merged into one row, in different colours."""
    states = [row for row in rows if row.group is RowGroup.STATES]
    result = []
    for row in rows:
        if row.group is not RowGroup.STATES:
            result.append(row)
        elif row is states[0]:
            spans = sorted((s for row in states for s in row.spans), key=lambda span: span.first)
            result.append(Row(RowGroup.STATES, "state", "", spans))
    return result


def _grid(scale: _Scale, bottom: float) -> Iterator[str]:
    """The lines of months and years, with their labels above."""
    wide = (WIDTH - LEFT - RIGHT) * 30.4 / (scale.last - scale.first + 1)
    years_from = months_from = -100.0
    for day in month_starts(scale.first, scale.last):
        x = scale.x(day.toordinal())
        begins = day.month == 1 and day.day == 1
        if begins or wide >= 9:
            kind = "year" if begins else "month"
            yield f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 22}" y2="{bottom}"/>'
        if (begins or day.toordinal() == scale.first) and x - years_from > 34 and x < WIDTH - RIGHT - 30:
            years_from = x
            yield f'<text class="yearword" x="{x + 3:.1f}" y="{TOP - 24}">{day.year}</text>'
        if x - months_from > 26 and wide >= 9 and x < WIDTH - RIGHT - 20:
            months_from = x
            month = _text(MONTHS[day.month - 1])
            yield f'<text class="monthword" x="{x + 3:.1f}" y="{TOP - 10}">{month}</text>'


def _rows(rows: Sequence[Row], scale: _Scale) -> Iterator[tuple[int, str]]:
    """Each row with its height."""
    y, group = TOP, None
    for number, row in enumerate(rows):
        used, parts = ROW, []
        if row.group is not group:
            group = row.group
            used += HEAD
            y += HEAD
            parts.append(f'<text class="group" x="22" y="{y - 6}">{_text(_GROUPS[row.group])}</text>')
            parts.append(f'<line class="rule" x1="22" x2="{WIDTH - RIGHT}" y1="{y - 1}" y2="{y - 1}"/>')
        parts += _row(row, number, y, scale)
        y += ROW
        yield used, "\n".join(parts)


def _row(row: Row, number: int, y: int, scale: _Scale) -> Iterator[str]:
    label = shown(sentence(row.label))
    room = int((LEFT - 34) / _LETTER)
    short = label if len(label) <= room else label[: room - 1] + "…"
    note = f"{row.label}: {row.note}" if row.note else row.label
    yield f'<g><title>{_text(note)}</title><text class="label" x="26" y="{y + 16}">{escape(short)}</text></g>'
    for span in row.spans:
        if span.last >= scale.first and span.first <= scale.last:
            yield _bar(row, span, y + 5, scale)


def _bar(row: Row, span: Span, y: float, scale: _Scale) -> str:
    x, end = scale.x(span.first), scale.x(min(span.last, scale.last) + 1)
    width = max(2.5, end - x - 1)
    tooltip = f"{row.label}: {span.shade.value}, {_days(span)}" + (f". {row.note}" if row.note else "")
    drawn = f'<path class="bar {LOOKS[span.shade][1]}" d="{_outline(x, y, width, span, scale)}"/>'
    word = sentence(span.shade.value)
    if row.group is RowGroup.STATES and width > len(word) * _LETTER + 12:
        drawn += f'<text class="word w-{LOOKS[span.shade][1]}" x="{x + 6:.1f}" y="{y + 10}">{word}</text>'
    return f"<g><title>{_text(tooltip)}</title>{drawn}</g>"


def _outline(x: float, y: float, width: float, span: Span, scale: _Scale) -> str:
    """The outline of a bar: round at its real ends, flat where it continues outside the picture."""
    end = min(3.5, width / 2)
    left = end if span.first >= scale.first else 0.0
    right = end if span.last <= scale.last else 0.0
    b = BAR
    return (
        f"M{x + left:.1f} {y}h{width - left - right:.1f}"
        + (f"a{right:.1f} {right:.1f} 0 0 1 {right:.1f} {right:.1f}v{b - 2 * right:.1f}"
           f"a{right:.1f} {right:.1f} 0 0 1 -{right:.1f} {right:.1f}" if right else f"v{b}")
        + f"h-{width - left - right:.1f}"
        + (f"a{left:.1f} {left:.1f} 0 0 1 -{left:.1f} -{left:.1f}v-{b - 2 * left:.1f}"
           f"a{left:.1f} {left:.1f} 0 0 1 {left:.1f} -{left:.1f}z" if left else "z")
    )  # fmt: skip


def _today(scale: _Scale, as_of: date, bottom: float) -> Iterator[str]:
    if not scale.first <= as_of.toordinal() <= scale.last:
        return
    x = (scale.x(as_of.toordinal()) + scale.x(as_of.toordinal() + 1)) / 2
    word = sentence(f"today {as_of}")
    wide = len(word) * 5.9 + 12
    left = max(LEFT - 20, min(x - wide / 2, WIDTH - RIGHT - wide))
    yield f'<line class="today" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom}"/>'
    yield f'<rect class="flag" x="{left:.1f}" y="{TOP - 4}" width="{wide:.1f}" height="17" rx="8.5"/>'
    yield f'<text class="flagword" x="{left + wide / 2:.1f}" y="{TOP + 8}" text-anchor="middle">{word}</text>'


def _legend(rows: Sequence[Row], y: float) -> list[str]:
    spans = (span for row in rows if row.group is not RowGroup.STATES for span in row.spans)
    x, parts = 26.0, []
    for look, words in legend(spans, lambda shade: LOOKS[shade][1], MEANING).items():
        wide = 26 + len(words) * 6.1 + 16
        if x + wide > WIDTH:
            x, y = 26.0, y + LEGEND
        box = f'x="{x:.1f}" y="{y}" width="20" height="{BAR}" rx="3.5"'
        parts.append(f'<rect class="bar {look}" {box}/>')
        parts.append(f'<text class="key" x="{x + 26:.1f}" y="{y + 11}">{words}</text>')
        x += wide
    return parts
