"""The page of all that is stored about one person, in French, for the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piactl.phrase import Phrase
from piactl.report.render_page import markdown_page
from piactl.report.table import CODES
from piactl.translation import in_french

View = Mapping[str, Any]

_WORDS = {
    "keyed digest of the matricule": "empreinte du matricule (calculée avec une clé, illisible)",
    "keyed digest of the NUMEN": "empreinte du NUMEN (calculée avec une clé, illisible)",
    "keyed digest of birth date and names": "empreinte de la date de naissance et des noms (illisible)",
    "keyed digest of the birth date": "empreinte de la date de naissance (illisible)",
    "slow verifier of the NUMEN": "empreinte lente du NUMEN (calculée avec une clé, illisible)",
    "secret, not shown": "secret, non communiqué",
}
_ATTRIBUTES = {
    "uid": "identifiant", "cn": "nom complet", "sn": "nom", "givenName": "prénom",
    "displayName": "nom affiché", "personalTitle": "civilité", "mail": "adresse académique",
    "supannMailPrive": "adresse privée", "supannEmpId": "matricule",
    "supannNomDeNaissance": "nom de famille", "supannEmpCorps": "corps",
    "supannEntiteAffectation": "établissements", "eduPersonEntitlement": "droits d'accès",
    "piactlState": "état du compte", "piactlAssignment": "affectation", "piactlProfile": "profil",
    "piactlAlias": "anciennes adresses actives", "piactlIdentifier": "identifiants réservés",
    "piactlMatriculeDigest": "matricule", "piactlMatricule": "autre matricule",
    "piactlMergedInto": "compte qui remplace celui-ci", "piactlNumenDigest": "NUMEN",
    "userPassword": "mot de passe",
    "piactlLock": "verrou", "piactlException": "exception", "piactlOverride": "modification manuelle",
    "pwdStartTime": "début d'accès", "pwdEndTime": "fin d'accès", "pwdFailureTime": "échecs de connexion",
    "pwdAccountTmpLockoutEnd": "fin de l'attente après des échecs",
    "pwdChangedTime": "mot de passe changé le", "piactlNumenVerifier": "NUMEN (vérification)",
    "piactlIdentityDigest": "date de naissance et noms", "piactlBirthDigest": "date de naissance",
    "piactlProofChanged": "preuves d'identité changées le",
}  # fmt: skip


def person_page(view: View) -> str:
    """Markdown: every value that piactl holds, in a section of its kind."""
    one = ("lock", "attempts", "waiting")
    rows = ("devices", "requests", "absences", "disagreements", "cases", "runs", "undo", "plans", "rejects",
            "sets", "journal")  # fmt: skip
    undo = [{"valeurs": "non lisibles ici"}] if view["undo"] is None else view["undo"]
    view = {**view, "undo": undo, **{name: [view[name]] if view[name] else [] for name in one}}
    return markdown_page(
        "person.md.j2",
        uid=view["uid"],
        matricule=view["matricule"],
        made=view["made"],
        entry=map(_value, (view["entry"] or {}).items()),
        drift=map(_changed, view["drift"]),
        exceptions=map(in_french, view["exceptions"]),
        overrides=map(in_french, view["overrides"]),
        archival_noted=filter(None, [view["archival_noted"]]),
        **{name: map(_pairs, view[name]) for name in (*one, *rows)},
    )


def _value(pair: tuple[str, list[str]]) -> str:
    name, values = pair
    label = f"{_ATTRIBUTES[name]} ({name})" if name in _ATTRIBUTES else name
    return f"{label} : " + " ; ".join(map(_word, values))


def _word(value: object, name: str = "") -> str:
    text = _WORDS.get(str(value)) or str(value)
    return in_french(text) if name in CODES or isinstance(value, Phrase) else text


def _pairs(row: View) -> str:
    return ", ".join(
        f"{in_french(name)} : {_word(value, name)}" for name, value in row.items() if value is not None
    )


def _changed(row: View) -> str:
    before, now = (" ; ".join(row[side]).replace("?", "inconnu") for side in ("ours", "theirs"))
    words = {"avant": before, "maintenant": now, "depuis le": row["since"], "par": in_french(row["by"])}
    return f"{row['attribute']} : " + ", ".join(f"{name} : {text}" for name, text in words.items() if text)
