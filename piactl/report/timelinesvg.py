"""The life of an account as a picture: one self-contained SVG file, readable in the light and in the dark.

No script, no font and nothing else from elsewhere. Whatever comes from outside is text, escaped; a browser
shows the days and the reason of a period where the pointer rests on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape

from piactl.core.chronicle import Group, Row, Span
from piactl.core.days import civil
from piactl.report.escaping import shown
from piactl.report.timelinestyle import CLASSES, MEANING, PATTERNS, STYLE

WIDTH, LEFT, RIGHT = 1120, 214, 22
TOP, ROW, BAR, HEAD, LEGEND = 96, 23, 13, 30, 20
_LETTER = 6.3
"""About the width of a letter of a label, in the units of the picture."""

_GROUPS = {
    Group.ASSIGNMENTS: "Assignments",
    Group.STATES: "State",
    Group.LOGIN: "Log in",
    Group.LOCKS: "Locks",
    Group.SERVICES: "Services",
    Group.EXCEPTIONS: "Exceptions",
    Group.PINS: "By hand",
}
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


@dataclass(frozen=True, slots=True)
class _Scale:
    first: int
    last: int

    def x(self, day: int) -> float:
        """Where a day begins; outside the picture it is the nearest edge."""
        part = (day - self.first) / (self.last - self.first + 1)
        return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, min(1.0, part))


def timeline_svg(
    title: str, rows: Sequence[Row], *, as_of: date, first: date, last: date, mark: str = "today"
) -> str:
    """The picture of the rows from `first` to `last`, both included, as the text of an SVG file. `mark` is
    the word beside `as_of`."""
    scale = _Scale(first.toordinal(), last.toordinal())
    body = list(_rows(_one_state_row(rows), scale))
    height = TOP + sum(used for used, _ in body) + 14
    legend = _legend(rows, height)
    whole = height + 3 * LEGEND if legend else height
    what = (
        f"Assignments, states, log in, locks, services and exceptions from {first} to {last}, as of {as_of}."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" width="{WIDTH}" '
        f'height="{whole}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{_text(title)}</title>',
        f'<desc id="desc">{_text(what)} {_text(_spoken(rows))}</desc>',
        f"<style>{STYLE}</style>",
        f"<defs>{PATTERNS}</defs>",
        f'<rect class="paper" width="{WIDTH}" height="{whole}" rx="10"/>',
        f'<text class="title" x="22" y="38">{_text(title)}</text>',
        f'<text class="sub" x="{WIDTH - RIGHT}" y="38" text-anchor="end">{first} to {last}</text>',
        *_grid(scale, height - 14),
    ]
    parts += [drawn for _, drawn in body]
    parts += [*_today(scale, as_of, mark, height - 14), *legend, "</svg>"]
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    """Text from outside in a picture: visible, and never markup."""
    legal = "".join(c for c in shown(text) if ord(c) & 0xFFFE != 0xFFFE)
    return escape(legal, {'"': "&quot;"})


def _spoken(rows: Sequence[Row]) -> str:
    """The rows in words, for whoever cannot see the picture."""
    sentences = []
    for row in rows:
        spans = "; ".join(f"{span.shade.value} {_days(span)}" for span in row.spans)
        sentences.append(f"{row.group.value}, {row.label}: {spans}.")
    return " ".join(sentences)


def _days(span: Span) -> str:
    first, last = civil(span.first), civil(span.last)
    begin = f"from {first} " if first and span.first > 1 else ""
    return f"{begin}to {last}" if last else begin.strip() or "always"


def _one_state_row(rows: Sequence[Row]) -> list[Row]:
    """The rows with all states in one: in colours there is room for them."""
    states = [row for row in rows if row.group is Group.STATES]
    result = []
    for row in rows:
        if row.group is not Group.STATES:
            result.append(row)
        elif row is states[0]:
            spans = sorted((s for one in states for s in one.spans), key=lambda span: span.first)
            result.append(Row(Group.STATES, "state", "", spans))
    return result


def _grid(scale: _Scale, bottom: float) -> Iterator[str]:
    """Months and years: lines all the way down, words above."""
    wide = (WIDTH - LEFT - RIGHT) * 30.4 / (scale.last - scale.first + 1)
    day = date.fromordinal(scale.first)
    years_from = -100.0
    months_from = -100.0
    while day.toordinal() <= scale.last:
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
            yield f'<text class="monthword" x="{x + 3:.1f}" y="{TOP - 10}">{_MONTHS[day.month - 1]}</text>'
        if (day.year, day.month) == (date.max.year, 12):
            return
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _rows(rows: Sequence[Row], scale: _Scale) -> Iterator[tuple[int, str]]:
    """Each row with the height it takes."""
    y, group = TOP, None
    for number, row in enumerate(rows):
        used, parts = ROW, []
        if row.group is not group:
            group = row.group
            used += HEAD
            y += HEAD
            parts.append(f'<text class="group" x="22" y="{y - 6}">{_GROUPS[row.group]}</text>')
            parts.append(f'<line class="rule" x1="22" x2="{WIDTH - RIGHT}" y1="{y - 1}" y2="{y - 1}"/>')
        parts += _row(row, number, y, scale)
        y += ROW
        yield used, "\n".join(parts)


def _row(row: Row, number: int, y: int, scale: _Scale) -> Iterator[str]:
    label = shown(row.label)
    room = int((LEFT - 34) / _LETTER)
    short = label if len(label) <= room else label[: room - 1] + "…"
    note = f"{row.label}: {row.note}" if row.note else row.label
    yield f'<g><title>{_text(note)}</title><text class="label" x="26" y="{y + 16}">{_text(short)}</text></g>'
    for span in row.spans:
        if span.last >= scale.first and span.first <= scale.last:
            yield _bar(row, span, y + 5, scale)


def _bar(row: Row, span: Span, y: float, scale: _Scale) -> str:
    x, end = scale.x(span.first), scale.x(min(span.last, scale.last) + 1)
    width = max(2.5, end - x - 1)
    told = f"{row.label}: {span.shade.value}, {_days(span)}" + (f". {row.note}" if row.note else "")
    drawn = f'<path class="bar {CLASSES[span.shade]}" d="{_outline(x, y, width, span, scale)}"/>'
    word = span.shade.value
    if row.group is Group.STATES and width > len(word) * _LETTER + 12:
        drawn += f'<text class="word w-{CLASSES[span.shade]}" x="{x + 6:.1f}" y="{y + 10}">{word}</text>'
    return f"<g><title>{_text(told)}</title>{drawn}</g>"


def _outline(x: float, y: float, width: float, span: Span, scale: _Scale) -> str:
    """A bar whose ends are round where they are ends, and flat where it goes on outside the picture."""
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


def _today(scale: _Scale, as_of: date, mark: str, bottom: float) -> Iterator[str]:
    if not scale.first <= as_of.toordinal() <= scale.last:
        return
    x = (scale.x(as_of.toordinal()) + scale.x(as_of.toordinal() + 1)) / 2
    word = f"{mark} {as_of}"
    wide = len(word) * 5.9 + 12
    left = max(LEFT - 20, min(x - wide / 2, WIDTH - RIGHT - wide))
    yield f'<line class="today" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom}"/>'
    yield f'<rect class="flag" x="{left:.1f}" y="{TOP - 4}" width="{wide:.1f}" height="17" rx="8.5"/>'
    yield f'<text class="flagword" x="{left + wide / 2:.1f}" y="{TOP + 8}" text-anchor="middle">{word}</text>'


def _legend(rows: Sequence[Row], y: float) -> list[str]:
    """What the looks of services and assignments mean, for those there are; a look is told once."""
    there = {span.shade for row in rows if row.group is not Group.STATES for span in row.spans}
    looks: dict[str, list[str]] = {}
    for shade, meaning in MEANING.items():
        if shade in there:
            looks.setdefault(CLASSES[shade], []).append(meaning)
    x, parts = 26.0, []
    for look, meanings in looks.items():
        words = ", ".join(meanings)
        wide = 26 + len(words) * 6.1 + 16
        if x + wide > WIDTH:
            x, y = 26.0, y + LEGEND
        box = f'x="{x:.1f}" y="{y}" width="20" height="{BAR}" rx="3.5"'
        parts.append(f'<rect class="bar {look}" {box}/>')
        parts.append(f'<text class="key" x="{x + 26:.1f}" y="{y + 11}">{words}</text>')
        x += wide
    return parts
