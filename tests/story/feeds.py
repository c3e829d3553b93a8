"""Small HR feeds of invented people, in the canonical layout."""

from __future__ import annotations

from collections.abc import Sequence

COLUMNS = (
    "matricule", "numen", "civilite", "nom_usage", "nom_famille", "prenom", "date_naissance",
    "courriel_prive",
    "corps", "position", "uai", "fonction", "discipline", "modalite", "quotite", "debut", "fin",
)  # fmt: skip
HEADER = ";".join(COLUMNS)
DEFAULTS = {
    "matricule": "1001",
    "nom_famille": "Dubreuil",
    "prenom": "Claire",
    "corps": "553",
    "uai": "0800009A",
    "fonction": "ENS",
    "debut": "2026-09-01",
}

THUILLIER, MICHELIS, MARESCHAL, MILLEVOYE = "0800009A", "0800010B", "0801616X", "0800002T"


def row(**values: str) -> str:
    """One line; a column that is not named has the value of DEFAULTS, or none."""
    unknown = set(values) - set(COLUMNS)
    assert not unknown, f"no such columns: {unknown}"
    cells = {**DEFAULTS, **values}
    return ";".join(cells.get(column, "") for column in COLUMNS)


def crowd(number: int, **values: str) -> list[str]:
    """`number` people with one post each and different names; matricules from 5000."""
    return [
        row(matricule=str(5000 + n), prenom="Louise", nom_famille=f"Vauban{letters(n)}", **values)
        for n in range(number)
    ]


def letters(number: int) -> str:
    """A number as letters, because names have no digits: 0 is aaa."""
    return "".join(chr(97 + number // power % 26) for power in (676, 26, 1))


def text(rows: Sequence[str], day: str = "") -> str:
    """A whole feed; with `day` it has the last line, which makes it complete and dates it."""
    lines = [HEADER, *rows]
    if day:
        lines.append(f"#FIN;rows={len(rows)};date={day}")
    return "".join(f"{line}\n" for line in lines)
