"""Writes AAF sets of invented people, in the form in which they are delivered."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

SCHOOLS = {"4077": "0800009A", "4078": "0800010B", "4079": "0800002T"}
"""Jointure -> UAI."""
HEAD = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">
<ficAlimMENESR>
<!-- codeAcademieExport : {academie} -->
<!-- degre : 2D -->
"""


@dataclass(frozen=True)
class Agent:
    """`functions` are written as AAF has them: structure$function$label$post$label."""

    id: str
    functions: tuple[str, ...] = ("4077$ENS$ENSEIGNANT$L0202$LETTRES MODERNES",)
    sn: str = "DUBREUIL"
    birth_name: str = ""
    given: str = "Claire"
    birth: str = "14/07/1980"
    home: str = "4077"


def request(kind: str, category: str, id_: str, attributes: Mapping[str, Sequence[str]]) -> str:
    """One request. Each value is on a line of its own."""
    body = "".join(
        f'      <attr name="{name}">\n'
        + "".join(f"        <value>{escape(value)}</value>\n" for value in values)
        + "      </attr>\n"
        for name, values in attributes.items()
    )
    what = "Structure" if category == "EtabEducNat" else "Personne"
    return (
        f'  <{kind}>\n    <operationalAttributes>\n      <attr name="categorie{what}">\n'
        f"        <value>{category}</value>\n      </attr>\n    </operationalAttributes>\n"
        f"    <identifier>\n      <id>{id_}</id>\n    </identifier>\n"
        f"    <attributes>\n{body}    </attributes>\n  </{kind}>\n"
    )


def person(agent: Agent) -> str:
    return request(
        "addRequest",
        "PersEducNat",
        agent.id,
        {
            "ENTPersonJointure": [agent.id],
            "sn": [agent.sn],
            "ENTPersonNomPatro": [agent.birth_name or agent.sn],
            "givenName": [agent.given],
            "personalTitle": ["Mme"],
            "ENTPersonDateNaissance": [agent.birth],
            "ENTPersonStructRattach": [agent.home],
            "ENTPersonFonctions": agent.functions or [""],
            "PersEducNatPresenceDevantEleves": ["O"],
        },
    )


def document(requests: Iterable[str], encoding: str = "UTF-8", academie: str = "020") -> bytes:
    text = HEAD.format(encoding=encoding, academie=academie) + "".join(requests) + "</ficAlimMENESR>\n"
    return text.encode(encoding)


def structures(schools: Mapping[str, str] = SCHOOLS) -> list[str]:
    return [
        request(
            "addRequest",
            "EtabEducNat",
            key,
            {"ENTStructureJointure": [key], "ENTStructureUAI": [uai], "ENTStructureTypeStruct": ["LYCEE"]},
        )
        for key, uai in schools.items()
    ]


def files(
    agents: Sequence[Agent],
    day: str = "20260901",
    *,
    name: str = "ENT2DVA",
    schools: Mapping[str, str] = SCHOOLS,
    pieces: int = 1,
    encoding: str = "UTF-8",
    academie: str = "020",
) -> dict[str, bytes]:
    """The files of a complete set, the people in so many pieces."""
    stem = f"{name}_Complet_{day}"
    found = {f"{stem}_EtabEducNat_0000.xml": document(structures(schools), encoding, academie)}
    for piece in range(pieces):
        people = [person(agent) for agent in agents[piece::pieces]]
        found[f"{stem}_PersEducNat_{piece:04}.xml"] = document(people, encoding, academie)
    return found


def folder(path: Path, found: Mapping[str, bytes]) -> Path:
    path.mkdir()
    for name, content in found.items():
        (path / name).write_bytes(content)
    return path


def zipped(path: Path, found: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, found: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in found.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
