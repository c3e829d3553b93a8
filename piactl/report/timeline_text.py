"""Draws the timeline of an account with characters: blocks for periods, months above, dates beside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from piactl.core.model.periods import civil, union
from piactl.core.timeline_rows import Row, RowGroup, Shade, Span
from piactl.phrase import Phrase
from piactl.report.escaping import shown
from piactl.translation import translate, translate_word

_SOLID, _DENSE, _LIGHT, _FAINT, _DOTS, _NOT = range(6)
_UNICODE = "█▓▒░·×"
_ASCII = "#=+-.x"
LOOKS: Mapping[Shade, tuple[int, str, str]] = {
    Shade.HELD: (_SOLID, "held", Phrase("by the policy")),
    Shade.KEPT: (_DENSE, "kept", Phrase("kept over a delay")),
    Shade.HANDOVER: (_LIGHT, "handover", Phrase("after a mutation")),
    Shade.IN_GRACE: (_LIGHT, "grace", Phrase("through the grace")),
    Shade.GRANTED: (_SOLID, "granted", Phrase("by a grant")),
    Shade.WAITING: (_FAINT, "faint", Phrase("not yet: a delay runs")),
    Shade.DENIED: (_NOT, "denied", Phrase("denied")),
    Shade.LEAVE: (_DENSE, "leave", Phrase("position keeps some rights or none")),
    Shade.UNCOUNTED: (_FAINT, "faint", Phrase("does not count")),
    Shade.ENDING: (_NOT, "stop", Phrase("ends all posts")),
    Shade.COUNTS: (_SOLID, "post", ""),
    Shade.ACTIVE: (_SOLID, "active", ""),
    Shade.ON_LEAVE: (_DENSE, "leave", ""),
    Shade.GRACE: (_LIGHT, "grace", ""),
    Shade.ANTICIPATED: (_FAINT, "soon", ""),
    Shade.DEACTIVATED: (_DOTS, "closed", ""),
    Shade.ARCHIVED: (_DOTS, "gone", ""),
    Shade.LOGIN: (_SOLID, "login", ""),
    Shade.LOCK: (_NOT, "stop", ""),
    Shade.GRANT: (_SOLID, "granted", ""),
    Shade.DENIAL: (_NOT, "denied", ""),
    Shade.OVERRIDE: (_SOLID, "hand", ""),
}
"""The glyph of each shade, its class in a picture, and its meaning in the legend, in its order; "" needs
none."""
_HAD = (Shade.HELD, Shade.KEPT, Shade.HANDOVER, Shade.IN_GRACE, Shade.GRANTED)
_DATES = 24
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps the days `first` to `last` (ordinals) to columns."""

    first: int
    last: int
    columns: int

    def column(self, day: int) -> int:
        """The column of a day; outside the picture the nearest column."""
        place = (day - self.first) * self.columns // (self.last - self.first + 1)
        return max(0, min(self.columns - 1, place))

    def columns_of(self, span: Span) -> range:
        """The columns of the days of a span, at least one."""
        begin = self.column(span.first)
        end = self.columns if span.last >= self.last else self.column(span.last + 1)
        return range(begin, max(begin + 1, end))


def timeline_text(
    title: str,
    rows: Sequence[Row],
    *,
    as_of: date,
    first: date,
    last: date,
    width: int = 100,
    ascii_only: bool = False,
) -> str:
    """`title` and the rows as lines of at most `width` columns (at least 40). If several spans share a
    column, the shortest is drawn. Dates are those of the current period, else of the next, else of the
    last."""
    glyphs = _ASCII if ascii_only else _UNICODE
    names = [shown(translate_word(row.label)) for row in rows]
    label = min(max((len(name) for name in names), default=8) + 3, max(12, width * 3 // 10))
    columns = max(8, width - label - _DATES - 1)
    scale = _Scale(first.toordinal(), last.toordinal(), columns)
    lines = [shown(translate(title)), ""]
    lines += [" " * label + line for line in _axis(scale, as_of, ascii_only=ascii_only)]
    group: RowGroup | None = None
    for row, name in zip(rows, names, strict=True):
        if row.group is not group:
            group = row.group
            lines.append(translate_word(group.value))
        picture = _picture(row, scale, as_of, glyphs, ascii_only=ascii_only)
        lines.append(f"  {_cut(name, label - 3):<{label - 2}}{picture} {_dates(row, as_of)}")
    lines += ["", *_legend(rows, glyphs, width)]
    text = "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "~"


def _axis(scale: _Scale, as_of: date, *, ascii_only: bool) -> Iterator[str]:
    years, months = [" "] * scale.columns, [" "] * scale.columns
    for day in month_starts(scale.first, scale.last):
        column = scale.column(day.toordinal())
        if day.month == 1 or day.toordinal() == scale.first:
            _write(years, column, str(day.year))
        _write(months, column, translate_word(MONTHS[day.month - 1]))
    yield "".join(years)
    yield "".join(months)
    if scale.first <= as_of.toordinal() <= scale.last:
        column = scale.column(as_of.toordinal())
        mark, today = ("v" if ascii_only else "▼"), translate(as_of.isoformat())
        room = column + 2 + len(today) <= scale.columns
        yield (" " * column + f"{mark} {today}") if room else f"{today} {mark}".rjust(column + 1)


def month_starts(first: int, last: int) -> Iterator[date]:
    """The first of the days (ordinals) and the first day of each month after it."""
    day = date.fromordinal(first)
    while day.toordinal() <= last:
        yield day
        if (day.year, day.month) == (date.max.year, 12):
            return
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _write(line: list[str], column: int, text: str) -> None:
    end = column + len(text)
    if end <= len(line) and all(c == " " for c in line[max(0, column - 1) : end]):
        line[column:end] = text


def _picture(row: Row, scale: _Scale, as_of: date, glyphs: str, *, ascii_only: bool) -> str:
    cells = [" "] * scale.columns
    if scale.first <= as_of.toordinal() <= scale.last:
        cells[scale.column(as_of.toordinal())] = "|" if ascii_only else "│"
    visible = [span for span in row.spans if span.last >= scale.first and span.first <= scale.last]
    for span in sorted(visible, key=lambda span: span.first - span.last):
        for column in scale.columns_of(span):
            cells[column] = glyphs[LOOKS[span.shade][0]]
    return "".join(cells)


def _dates(row: Row, as_of: date) -> str:
    spans = row.spans
    if row.group is RowGroup.ASSIGNMENTS:
        spans = [Span(*period, Shade.COUNTS) for period in union((s.first, s.last) for s in spans)]
    if row.group is RowGroup.SERVICES:
        had = [(span.first, span.last) for span in spans if span.shade in _HAD]
        spans = [Span(*period, Shade.HELD) for period in union(had)] or spans
    span = _dated_span(spans, as_of.toordinal())
    first, last = civil(span.first), civil(span.last)
    begin = translate(first.isoformat()) if first and span.first > 1 else ""
    return f"{begin}..{translate(last.isoformat()) if last else ''}"


def _dated_span(spans: Sequence[Span], today: int) -> Span:
    """The current span, or the next one, or the last one."""
    current = [span for span in spans if span.first <= today <= span.last]
    ahead = [span for span in spans if span.first > today]
    return (current or ahead or [spans[-1]])[0]


def legend(spans: Iterable[Span], look: Callable[[Shade], str], own: Mapping[Shade, str]) -> dict[str, str]:
    """The meanings of the looks in use, in the language of the reader; `own` are further meanings. Each look
    is explained once."""
    used = {span.shade for span in spans}
    meanings: dict[str, list[str]] = {}
    for shade, (_, _, usual) in LOOKS.items():
        meaning = own.get(shade, usual)
        if meaning and shade in used:
            meanings.setdefault(look(shade), []).append(translate(meaning))
    return {key: ", ".join(words) for key, words in meanings.items()}


def _legend(rows: Sequence[Row], glyphs: str, width: int) -> Iterator[str]:
    line = ""
    spans = (span for row in rows for span in row.spans)
    for glyph, meaning in legend(spans, lambda shade: glyphs[LOOKS[shade][0]], {}).items():
        piece = f"{glyph} {meaning}"
        if line and len(line) + 3 + len(piece) > width:
            yield line
            line = ""
        line += ("   " if line else "") + piece
    if line:
        yield line
