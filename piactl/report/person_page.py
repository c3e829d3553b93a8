"""The page of all that is stored about one person, in French, for the agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from piactl.report.escaping_and_colours import shown
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
    return "\n".join(_plain(line) for line in _lines(view)) + "\n"


def _plain(line: str) -> str:
    """A line without HTML, links and images. Not every reader of Markdown knows an escape of `<`."""
    text = shown(line).replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("\\", "\\\\").replace("[", "\\[")


def _lines(view: View) -> Iterator[str]:
    yield f"# Données détenues sur {view['uid'] or 'la personne de matricule ' + str(view['matricule'])}"
    yield ""
    yield f"Établi le {view['made']} en réponse à une demande d'accès (RGPD, article 15)."
    yield "Ni la date de naissance ni le NUMEN en clair ne sont conservés ; le mot de passe est illisible."
    yield from _section("Entrée dans l'annuaire", map(_value, (view["entry"] or {}).items()))
    yield from _section("Dispositifs de code à usage unique (sans leur secret)", map(_pairs, view["devices"]))
    yield from _section("Valeurs changées par un autre programme", map(_changed, view["drift"]))
    yield from _section("Exceptions", map(in_french, view["exceptions"]))
    yield from _section("Modifications manuelles", map(in_french, view["overrides"]))
    yield from _section("Verrou d'un administrateur", map(_pairs, _one(view["lock"])))
    yield from _section("Contrôles d'identité échoués", map(_pairs, _one(view["attempts"])))
    yield from _section("Demandes soumises à une seconde personne", map(_pairs, view["requests"]))
    yield from _section("Compte en attente de création", map(_pairs, _one(view["waiting"])))
    yield from _section("Affectations absentes d'un fichier RH, à confirmer", map(_pairs, view["absences"]))
    yield from _section("Sources RH en désaccord", map(_pairs, view["disagreements"]))
    yield from _section("Cas : à qui est ce compte ?", map(_pairs, view["cases"]))
    noted = view["archival_noted"]
    yield from _section("Archivage constaté", [noted] if noted else [])
    yield from _section("Traitements qui ont modifié le compte", map(_pairs, view["runs"]))
    undo = [{"valeurs": "non lisibles ici"}] if view["undo"] is None else view["undo"]
    yield from _section("Valeurs gardées pour annuler un traitement", map(_pairs, undo))
    yield from _section("Plans conservés sur cet hôte", map(_pairs, view["plans"]))
    yield from _section("Lignes RH rejetées, conservées sur cet hôte", map(_pairs, view["rejects"]))
    yield from _section("Lots nationaux, conservés sur cet hôte", map(_pairs, view["sets"]))
    yield from _section("Journal", map(_pairs, view["journal"]))


def _section(title: str, rows: Any) -> Iterator[str]:
    rows = list(rows)
    yield ""
    yield f"## {title}"
    yield ""
    yield from (f"- {row}" for row in rows)
    if not rows:
        yield "Aucune donnée."


def _value(pair: tuple[str, list[str]]) -> str:
    name, values = pair
    label = f"{_ATTRIBUTES[name]} ({name})" if name in _ATTRIBUTES else name
    return f"{label} : " + " ; ".join(map(_word, values))


def _word(value: object) -> str:
    return _WORDS.get(str(value)) or in_french(str(value))


def _pairs(row: View) -> str:
    return ", ".join(
        f"{in_french(name)} : {_word(value)}" for name, value in row.items() if value is not None
    )


def _changed(row: View) -> str:
    """What another program changed of one attribute."""
    before, now = (" ; ".join(row[side]).replace("?", "inconnu") for side in ("ours", "theirs"))
    words = {"avant": before, "maintenant": now, "depuis le": row["since"], "par": in_french(row["by"])}
    return f"{row['attribute']} : " + ", ".join(f"{name} : {text}" for name, text in words.items() if text)


def _one(row: View | None) -> list[View]:
    return [] if row is None else [row]
