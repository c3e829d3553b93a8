"""AAF sets of invented people, in the form in which they are delivered."""

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
    subject = "Structure" if category == "EtabEducNat" else "Personne"
    part = "attributes"
    if kind == "modifyRequest":
        part = "modifications"
        body = body.replace("attr name=", 'modification operation="replace" name=').replace(
            "</attr>", "</modification>"
        )
    rest = f"    <{part}>\n{body}    </{part}>\n" if kind != "deleteRequest" else ""
    return (
        f'  <{kind}>\n    <operationalAttributes>\n      <attr name="categorie{subject}">\n'
        f"        <value>{category}</value>\n      </attr>\n    </operationalAttributes>\n"
        f"    <identifier>\n      <id>{id_}</id>\n    </identifier>\n"
        f"{rest}  </{kind}>\n"
    )


def attributes(agent: Agent) -> dict[str, Sequence[str]]:
    return {
        "ENTPersonJointure": [agent.id],
        "sn": [agent.sn],
        "ENTPersonNomPatro": [agent.birth_name or agent.sn],
        "givenName": [agent.given],
        "personalTitle": ["Mme"],
        "ENTPersonDateNaissance": [agent.birth],
        "ENTPersonStructRattach": [agent.home],
        "ENTPersonFonctions": agent.functions or [""],
        "PersEducNatPresenceDevantEleves": ["O"],
    }


def person(agent: Agent) -> str:
    return request("addRequest", "PersEducNat", agent.id, attributes(agent))


def modification(id_: str, **values: str | Sequence[str]) -> str:
    """A request that names only these attributes."""
    replacements = {name: [value] if isinstance(value, str) else value for name, value in values.items()}
    return request("modifyRequest", "PersEducNat", id_, replacements)


def deletion(id_: str) -> str:
    return request("deleteRequest", "PersEducNat", id_, {})


def changes(before: Sequence[Agent], after: Sequence[Agent]) -> list[str]:
    """The requests that turn one population into the other."""
    old, new = {agent.id: agent for agent in before}, {agent.id: agent for agent in after}
    requests = [deletion(key) for key in old if key not in new]
    for key, agent in new.items():
        if key not in old:
            requests.append(person(agent))
        elif agent != old[key]:
            was = attributes(old[key])
            requests.append(modification(key, **{n: v for n, v in attributes(agent).items() if v != was[n]}))
    return requests


def delta(requests: Iterable[str], day: str, *, name: str = "ENT2DVA") -> dict[str, bytes]:
    """The files of a delta in which no structure changes."""
    return {f"{name}_Delta_{day}_PersEducNat_0000.xml": document(requests)}


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
    """The files of a complete set; the people are in `pieces` files."""
    stem = f"{name}_Complet_{day}"
    contents = {f"{stem}_EtabEducNat_0000.xml": document(structures(schools), encoding, academie)}
    for piece in range(pieces):
        people = [person(agent) for agent in agents[piece::pieces]]
        contents[f"{stem}_PersEducNat_{piece:04}.xml"] = document(people, encoding, academie)
    return contents


_FIRST_DEGREE = {"sn": "ENTPersonNom", "givenName": "ENTPersonPrenom", "personalTitle": "ENTPersonCivilite"}
_GPEI = {
    **{old: new.replace("ENT", "GPEI") for old, new in _FIRST_DEGREE.items()},
    **{
        f"ENT{name}": f"GPEI{name}"
        for name in (
            "PersonJointure", "PersonDateNaissance", "PersonStructRattach", "PersonFonctions",
            "StructureJointure", "StructureUAI",
        )
    },
}  # fmt: skip


def first_degree(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same set in the form of the 1er degré."""
    return {name: _renamed(content, _FIRST_DEGREE) for name, content in contents.items()}


def gpei(
    contents: Mapping[str, bytes], declared: str = "listeDept=[080] listeSecteur=[PU]"
) -> dict[str, bytes]:
    """The same set in the form of GPEI, with the file in which it declares its perimeter."""
    stem = next(iter(contents)).rpartition("_")[0].rpartition("_")[0]
    param = f'<param name="GPEIgeneration"><value>\n {declared}\n</value></param>'
    infos = f'<?xml version="1.0" encoding="UTF-8"?>\n<InfosEducNat>{param}</InfosEducNat>\n'
    return {
        **{name: _renamed(content, _GPEI) for name, content in contents.items()},
        f"{stem}_InfosEducNat_0000.xml": infos.encode(),
    }


def _renamed(content: bytes, names: Mapping[str, str]) -> bytes:
    for old, new in names.items():
        content = content.replace(f'name="{old}"'.encode(), f'name="{new}"'.encode())
    return content


def individual(id_: str, type_: str = "epp", **values: str) -> str:
    """A person of STS."""
    usual = {"SEXE": "2", "CIVILITE": "2", "NOM_USAGE": "DUBREUIL", "NOM_PATRONYMIQUE": "DUBREUIL"}
    usual |= {"PRENOM": "Claire", "DATE_NAISSANCE": "1980-07-14", "GRADE": "CERTIFIE", "FONCTION": "ENS"}
    elements = {name: value for name, value in {**usual, **values}.items() if value}
    body = "".join(f"<{name}>{escape(value)}</{name}>\n" for name, value in elements.items())
    discipline = '<DISCIPLINES><DISCIPLINE CODE="L0202"><NB_HEURES>18</NB_HEURES></DISCIPLINE></DISCIPLINES>'
    return f'<INDIVIDU ID="{id_}" TYPE="{type_}">\n{body}{discipline}</INDIVIDU>\n'


def sts(*people: str, uai: str = "0800009A", year: int = 2026) -> dict[str, bytes]:
    """The file of STS of an establishment."""
    text = (
        '<?xml version="1.0" encoding="ISO-8859-15"?>\n<STS_EDT>\n<PARAMETRES>\n'
        f'<UAJ CODE="{uai}"><SIGLE>LGT</SIGLE></UAJ>\n<ANNEE_SCOLAIRE ANNEE="{year}">\n'
        f"<DATE_DEBUT>{year}-09-01</DATE_DEBUT><DATE_FIN>{year + 1}-08-31</DATE_FIN></ANNEE_SCOLAIRE>\n"
        '</PARAMETRES>\n<NOMENCLATURES><MATIERES><MATIERE CODE="020700"/></MATIERES></NOMENCLATURES>\n'
        f"<DONNEES>\n<INDIVIDUS>\n{''.join(people)}</INDIVIDUS>\n"
        '<STRUCTURE><DIVISIONS><DIVISION CODE="6E1"/></DIVISIONS></STRUCTURE>\n</DONNEES>\n</STS_EDT>\n'
    )
    return {f"sts_emp_{uai}_{year}.xml": text.encode("iso-8859-15")}


def folder(path: Path, contents: Mapping[str, bytes]) -> Path:
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def zipped(path: Path, contents: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, contents: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
