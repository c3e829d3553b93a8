"""The establishment register."""

from __future__ import annotations

import pytest

from piactl.config.read_register import read_register
from piactl.core.model.establishment import Establishment

HEADER = "uai;nom;nature;degre;secteur;commune\n"


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "0800009A;Lycée Louis Thuillier;300;2D;PU;Amiens\n0800881Y;Pigeonnier;101;1d;PU;Amiens\n",
        "\ufeffUAI,Name,Nature,Degree,Sector,Commune\r\n"
        "0800009a,Lycée Louis Thuillier,300,2D,PU,Amiens\r\n\r\n0800881Y, Pigeonnier ,101,1D,PU,Amiens",
        "commune\tsecteur\tdegre\tnature\tnom\tuai\n"
        "Amiens\tPU\t2D\t300\tLycée Louis Thuillier\t0800009A\nAmiens\tPU\t1D\t101\tPigeonnier\t0800881Y\n",
    ],
)
def test_a_register_is_read_in_every_layout(written, text):
    assert read_register(written(text)) == {
        "0800009A": Establishment("0800009A", "Lycée Louis Thuillier", "300", "2D", "PU", "Amiens"),
        "0800881Y": Establishment("0800881Y", "Pigeonnier", "101", "1D", "PU", "Amiens"),
    }


def test_comments_are_left_out(written):
    text = f"# UAI, name\n{HEADER}# those of Amiens; more follow\n0800009A;A;;;;\n#0800010B;B;;;;\n"
    assert set(read_register(written(text))) == {"0800009A"}


def test_only_the_uai_is_required(written):
    assert read_register(written("uai\n0800009A\n")) == {"0800009A": Establishment("0800009A")}


def test_a_quoted_name_may_hold_separators_and_line_breaks(written):
    register = read_register(written('uai;nom\n0800009A;"École ""A"";\nannexe"\n0800010B;B\n'))
    assert register["0800009A"].name == 'École "A";\nannexe'
    assert set(register) == {"0800009A", "0800010B"}


WRONG = [
    (HEADER + "0800009B;A;300;2D;PU;Amiens", 2, 1, "0800009A would be right"),
    (HEADER + "80009A;A;300;2D;PU;Amiens", 2, 1, "is not a UAI"),
    (HEADER + "0800009A;A;300;3D;PU;Amiens", 2, 4, "'3D' is not valid; write 1D, 2D or nothing"),
    (HEADER + "0800009A;A;3-0;2D;PU;Amiens", 2, 3, "'3-0' is not valid; write a code such as 300"),
    (HEADER + "0800009A;A;300;2D;PU", 2, 0, "5 values for 6 columns"),
    (HEADER + "0800009A;A;300;2D;PU;Amiens;x", 2, 0, "7 values for 6 columns"),
    (
        HEADER + "0800009A;;;;;\n0800010B;;;;;\n0800009a;;;;;",
        4,
        0,
        "0800009A appears twice, first on line 2; keep one",
    ),
    (HEADER + '0800009A;"A;300;2D;PU;Amiens\n0800010B;;;;;\n', 3, 0, "not CSV"),
    (HEADER + '0800009A;"A"x;300;2D;PU;Amiens', 2, 0, "not CSV"),
    (HEADER, 0, 0, "a header but no establishment"),
    ("nom;commune\nA;Amiens", 1, 0, "column uai is missing"),
    ("uai;comune\n0800009A;Amiens", 1, 2, "unknown column 'comune'; did you mean commune?"),
    ("uai;nom;name\n0800009A;A;A", 1, 3, "column name appears twice"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), WRONG)
def test_a_mistake_is_reported_with_its_line(written, mistakes_of, text, line, column, words):
    (mistake,) = mistakes_of(read_register, written(text))
    assert (mistake.line, mistake.column) == (line, column)
    assert words in mistake.message


def test_all_bad_lines_are_reported_at_once(written, mistakes_of):
    lines = ["0800009B;;;;;", "0800010B;;;;;", "x;;;4D;;", "0800010B;;;;;", "0800002T;;"]
    mistakes = mistakes_of(read_register, written(HEADER + "\n".join(lines)))
    assert [(m.line, m.column) for m in mistakes] == [(2, 1), (4, 1), (4, 4), (5, 0), (6, 0)]
