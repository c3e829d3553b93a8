"""Small feeds of invented people, and functions to read them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piactl.core.model.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.feed_result import Feed
from piactl.feed.formats.all_formats import _kept as translated_sets
from piactl.feed.header import COLUMNS
from piactl.feed.read_feed import read_feed

HEADER = ";".join(COLUMNS)
DEFAULTS = {
    "matricule": "0001",
    "numen": "01E9501234ABC",
    "civilite": "MME",
    "nom_usage": "",
    "nom_famille": "Dubreuil",
    "prenom": "Claire",
    "date_naissance": "14/07/1980",
    "courriel_prive": "claire@example.org",
    "corps": "553",
    "position": "activite",
    "uai": "0800009A",
    "fonction": "ENS",
    "discipline": "L0202",
    "modalite": "principale",
    "quotite": "100",
    "debut": "01/09/2026",
    "fin": "31/08/2027",
}


@pytest.fixture(autouse=True)
def of_no_other_run() -> None:
    """Makes each test a run of its own: a delta builds on the sets that were read in the same run."""
    translated_sets.clear()


NUMENS = {"0001": "01E9501234ABC", "0002": "01E9501235ABD", "0003": "01G9501236ABE", "0004": "01A9501237ABF"}


class Sample:
    """Builds lines and feeds; a column that is not named has the value of DEFAULTS."""

    header = HEADER
    columns = COLUMNS

    def row(self, **values: str) -> str:
        matricule = values.get("matricule", "0001")
        cells = {**DEFAULTS, "numen": NUMENS.get(matricule, ""), **values}
        return ";".join(cells.get(column, "") for column in COLUMNS)

    def four(self) -> list[str]:
        """Four people in five rows."""
        return [
            self.row(),
            self.row(matricule="0002", prenom="Élodie", nom_famille="Lefèvre", fin=""),
            self.row(matricule="0003", prenom="Zoé", nom_famille="Noël", uai="0800010B"),
            self.row(
                matricule="0003", prenom="Zoé", nom_famille="Noël", uai="0800002T", modalite="secondaire"
            ),
            self.row(matricule="0004", prenom="Louis", nom_famille="d'Orsay", nom_usage="Martin"),
        ]

    def text(self, *rows: str, header: str = HEADER) -> str:
        return "".join(f"{line}\n" for line in (header, *rows))

    def with_trailer(
        self, content: bytes, rows: int, *, sha256: bool = False, day: str = "2026-09-01"
    ) -> bytes:
        digest = f";sha256={hashlib.sha256(content).hexdigest()}" if sha256 else ""
        return content + f"#FIN;rows={rows};date={day}{digest}\n".encode()


@pytest.fixture(scope="session")
def sample() -> Sample:
    return Sample()


Read = Callable[..., Feed]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """read(content, name="epp-20260901.csv", **settings of the source) -> Feed."""

    def _read(content: str | bytes, name: str = "epp-20260901.csv", **settings: Any) -> Feed:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_feed(path, replace(SourceSettings("epp"), **settings))

    return _read


@pytest.fixture
def refused(read: Read) -> Callable[..., list[str]]:
    """refused(content, ...) -> the codes of the refusal; fails if the feed is read."""

    def _refused(content: str | bytes, **options: Any) -> list[str]:
        with pytest.raises(FeedRefused) as caught:
            read(content, **options)
        assert str(caught.value)
        return [code for code, _ in caught.value.refusals]

    return _refused
