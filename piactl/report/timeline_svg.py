"""Draws the timeline of an account as one self-contained SVG file, for light and dark backgrounds.

The file has no script and loads nothing. Patterns and colours both carry the
meaning. A browser shows the days and the reason of a period when the pointer rests on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from piactl.core.model.periods import civil
from piactl.core.timeline_rows import Row, RowGroup, Shade, Span
from piactl.phrase import Phrase, joined
from piactl.report.escaping import shown
from piactl.report.render_page import Typed, html_page
from piactl.report.timeline_text import LOOKS, MONTHS, legend, month_starts
from piactl.translation import translate, translate_word

MEANING = {Shade.LEAVE: Phrase("on leave"), Shade.LOCK: Phrase("locked")}
"""The shades that the legend of a picture explains in its own words."""

WIDTH, LEFT, RIGHT = 1120, 214, 22
TOP, ROW, BAR, HEAD, LEGEND = 96, 23, 13, 30, 20
_LETTER = 6.3
"""The approximate width of a letter of a label, in the units of the picture."""

_GROUPS = {
    RowGroup.ASSIGNMENTS: "Assignments",
    RowGroup.STATES: "State",
    RowGroup.LOGIN: Phrase("Log in"),
    RowGroup.LOCKS: "Locks",
    RowGroup.SERVICES: "Services",
    RowGroup.EXCEPTIONS: "Exceptions",
    RowGroup.OVERRIDES: Phrase("By hand"),
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
    height = body[-1]["y"] + ROW + 14 if body else TOP + 14
    keys = list(_keys(rows, height))
    return html_page(
        "timeline.svg.j2",
        title=title,
        description=Phrase(
            "Assignments, states, log in, locks, services and exceptions from {first} to {last}, as of "
            "{as_of}.",
            first=first,
            last=last,
            as_of=as_of,
        ),
        spoken=_spoken(rows),
        period=Phrase("{first} to {last}", first=first, last=last),
        width=WIDTH,
        total=height + 3 * LEGEND if keys else height,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=height - 14,
        bar_height=BAR,
        grid=_grid(scale),
        rows=body,
        today=_today(scale, as_of),
        legend=keys,
    )


def _spoken(rows: Sequence[Row]) -> str:
    sentences = []
    for row in rows:
        spans = joined(f"{_shade(span)} {translate(_days(span))}" for span in row.spans)
        label = f"{translate_word(row.group.value)}, {translate_word(row.label)}"
        sentences.append(translate(Phrase("{label}: {spans}.", label=label, spans=spans)))
    return " ".join(sentences)


def _days(span: Span) -> str:
    first, last = civil(span.first), civil(span.last)
    if not first or span.first <= 1:
        return Phrase("to {day}", day=last) if last else Phrase("always")
    return (
        Phrase("from {first} to {last}", first=first, last=last) if last else Phrase("from {day}", day=first)
    )


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


def _grid(scale: _Scale) -> Iterator[Mapping[str, Any]]:
    wide = (WIDTH - LEFT - RIGHT) * 30.4 / (scale.last - scale.first + 1)
    years_from = months_from = -100.0
    for day in month_starts(scale.first, scale.last):
        x = scale.x(day.toordinal())
        begins = day.month == 1 and day.day == 1
        kind = "year" if begins else "month" if wide >= 9 else ""
        year: int | str = ""
        if (begins or day.toordinal() == scale.first) and x - years_from > 34 and x < WIDTH - RIGHT - 30:
            years_from, year = x, day.year
        month = ""
        if x - months_from > 26 and wide >= 9 and x < WIDTH - RIGHT - 20:
            months_from, month = x, MONTHS[day.month - 1]
        line = {"x": f"{x:.1f}", "word_x": f"{x + 3:.1f}", "year": year, "month": month}
        yield {**line, "kind": Typed(kind)}


def _rows(rows: Sequence[Row], scale: _Scale) -> Iterator[dict[str, Any]]:
    y, group = TOP - ROW, None
    room = int((LEFT - 34) / _LETTER)
    for row in rows:
        begins, group = row.group is not group, row.group
        y += ROW + HEAD if begins else ROW
        label, note = translate_word(row.label), row.note
        yield {
            "y": y,
            "group": _GROUPS[row.group] if begins else "",
            "note": joined([label, note], "{first}: {second}") if note else label,
            "label": Typed(_cut(shown(label), room)),
            "bars": [
                _bar(row, span, y + 5, scale)
                for span in row.spans
                if span.last >= scale.first and span.first <= scale.last
            ],
        }


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _shade(span: Span) -> str:
    """What a span is. A right that the policy gives is said as in the legend: people are "held", too."""
    return translate(LOOKS[Shade.HELD][2]) if span.shade is Shade.HELD else translate_word(span.shade.value)


def _bar(row: Row, span: Span, y: float, scale: _Scale) -> dict[str, Any]:
    x, end = scale.x(span.first), scale.x(min(span.last, scale.last) + 1)
    width = max(2.5, end - x - 1)
    shade = _shade(span)
    fits = row.group is RowGroup.STATES and width > len(shade) * _LETTER + 12
    note = Phrase("{label}: {shade}, {days}", label=translate_word(row.label), shade=shade, days=_days(span))
    return {
        "note": joined(filter(None, [note, row.note]), "{first}. {second}"),
        "look": Typed(LOOKS[span.shade][1]),
        "outline": Typed(_outline(x, y, width, span, scale)),
        "word": Typed(shade if fits else ""),
        "word_x": f"{x + 6:.1f}",
    }


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


def _today(scale: _Scale, as_of: date) -> dict[str, Any] | None:
    if not scale.first <= as_of.toordinal() <= scale.last:
        return None
    x = (scale.x(as_of.toordinal()) + scale.x(as_of.toordinal() + 1)) / 2
    text = translate(Phrase("today {day}", day=as_of))
    wide = len(text) * 5.9 + 12
    left = max(LEFT - 20, min(x - wide / 2, WIDTH - RIGHT - wide))
    places = {"x": x, "left": left, "width": wide, "word_x": left + wide / 2}
    return {"word": Typed(text), **{name: f"{place:.1f}" for name, place in places.items()}}


def _keys(rows: Sequence[Row], y: int) -> Iterator[dict[str, Any]]:
    spans = (span for row in rows if row.group is not RowGroup.STATES for span in row.spans)
    x = 26.0
    for look, words in legend(spans, lambda shade: LOOKS[shade][1], MEANING).items():
        wide = 26 + len(words) * 6.1 + 16
        if x + wide > WIDTH:
            x, y = 26.0, y + LEGEND
        yield {
            "look": Typed(look),
            "x": f"{x:.1f}",
            "y": y,
            "word_x": f"{x + 26:.1f}",
            "words": Typed(words),
        }
        x += wide
