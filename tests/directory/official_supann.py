"""The whole official schema of SUPANN as definitions: numbers, names, syntaxes, classes.

It follows supann-2019-11-22.schema of Renater, without descriptions and without lengths, which slapd does not
check.
"""

from __future__ import annotations

from collections.abc import Iterator

SYNTAXES = {
    "text": "EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX {}.15",
    "exact": "EQUALITY caseExactMatch SUBSTR caseExactSubstringsMatch SYNTAX {}.15",
    "word": "EQUALITY caseExactMatch SYNTAX {}.15",
    "label": "EQUALITY caseIgnoreMatch SYNTAX {}.15",
    "ia5": "EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX {}.26",
    "sub": "EQUALITY caseExactIA5Match SYNTAX {}.26",
    "printable": "EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX {}.44",
    "birth": (
        "EQUALITY caseExactMatch ORDERING caseExactOrderingMatch SUBSTR caseExactSubstringsMatch SYNTAX {}.44"
    ),
    "gender": "EQUALITY caseIgnoreMatch SYNTAX {}.44",
    "number": "EQUALITY numericStringMatch ORDERING numericStringOrderingMatch SYNTAX {}.36",
    "time": "EQUALITY generalizedTimeMatch ORDERING generalizedTimeOrderingMatch SYNTAX {}.24",
    "boolean": "EQUALITY booleanMatch SYNTAX {}.7",
    "telephone": "SUP telephoneNumber",
    "dn": "SUP distinguishedName",
    "mail": "SUP mail",
}
ATTRIBUTES = """
ListeRouge:boolean! Activite:text Organisme:text! Civilite:printable! Affectation:text CodeEntite:ia5!
CodeEntiteParent:ia5 EntiteAffectation:ia5 CodeINE:printable EtuId:exact EmpId:exact
AutreTelephone:telephone EntiteAffectationPrincipale:ia5! Etablissement:text MailPerso:ia5
TypeEntite:text ParrainDN:dn GroupeDateFin:time! GroupeAdminDN:dn AliasLogin:exact! Role:text
GroupeLecteurDN:dn RoleGenerique:text RoleEntite:text EtuAnneeInscription:number EtuCursusAnnee:text
EtuDiplome:text EtuElementPedagogique:text EtuEtape:text EtuInscription:text EtuRegimeInscription:text
EtuSecteurDisciplinaire:text EtuTypeDiplome:text AutreMail:mail EmpCorps:text TypeEntiteAffectation:text
RefId:exact NomDeNaissance:text! PrenomsEtatCivil:text! OIDCDateDeNaissance:birth! OIDCGenre:gender!
CodeINSEEVilleDeNaissance:number! CodeINSEEPaysDeNaissance:number! FCSub:sub CMSAffectation:text
CMSAppAffectation:exact CMSAppId:word CMSAppIdDomaine:exact CMSDateFin:time CMSId:label
CMSIdEtiquette:text CMSType:text CMSSource:text RessourceEtatDate:text RessourceEtat:text EmpProfil:text
ExtProfil:text CodePopulation:text EmpDateFin:time EtuDateFin:time ExtDateFin:time Consentement:text
AdressePostalePrivee:text TelephonePrive:text MailPrive:text
""".split()
"""The attributes in the order of their numbers; "!" marks those with a single value."""

CLASSES = {
    "Person": (
        "",
        "Organisme Civilite AutreTelephone Affectation EmpId CodeINE EtuId AliasLogin ParrainDN Activite "
        "EntiteAffectation EntiteAffectationPrincipale MailPerso Role RoleEntite RoleGenerique "
        "EtuAnneeInscription EtuCursusAnnee EtuDiplome EtuElementPedagogique EtuEtape EtuInscription "
        "EtuRegimeInscription EtuSecteurDisciplinaire EtuTypeDiplome Etablissement ListeRouge AutreMail "
        "EmpCorps TypeEntiteAffectation RefId NomDeNaissance PrenomsEtatCivil OIDCDateDeNaissance "
        "OIDCGenre CodeINSEEPaysDeNaissance CodeINSEEVilleDeNaissance FCSub RessourceEtat "
        "RessourceEtatDate EmpProfil ExtProfil CodePopulation EmpDateFin EtuDateFin ExtDateFin "
        "Consentement AdressePostalePrivee TelephonePrive MailPrive",
    ),
    "Org": ("", "Etablissement"),
    "Entite": ("CodeEntite", "TypeEntite CodeEntiteParent RefId"),
    "FCPerson": (
        "NomDeNaissance PrenomsEtatCivil OIDCDateDeNaissance OIDCGenre CodeINSEEPaysDeNaissance FCSub",
        "CodeINSEEVilleDeNaissance",
    ),
    "CMS": (
        "",
        "CMSId CMSIdEtiquette CMSAppId CMSAppIdDomaine CMSAffectation CMSAppAffectation CMSType CMSSource "
        "CMSDateFin",
    ),
    "Groupe": ("", "GroupeDateFin GroupeAdminDN GroupeLecteurDN RefId"),
}
"""The classes in the order of their numbers: what an entry must have, and what it may have beside `_MORE`."""

_MORE = {"Person": " $ mailForwardingAddress", "Entite": " $ labeledURI"}
_BRANCH = "1.3.6.1.4.1.7135.1.2"


def official_schema() -> str:
    """The text of the schema file that slapd.conf includes."""
    return "\n\n".join(_definitions()) + "\n"


def _definitions() -> Iterator[str]:
    for number, text in enumerate(ATTRIBUTES, start=1):
        name, _, kind = text.rstrip("!").partition(":")
        rules = SYNTAXES[kind].format("1.3.6.1.4.1.1466.115.121.1")
        single = " SINGLE-VALUE" if text.endswith("!") else ""
        yield f"attributetype ( {_BRANCH}.1.{number} NAME 'supann{name}' {rules}{single} )"
    forwarding = SYNTAXES["label"].format("1.3.6.1.4.1.1466.115.121.1")
    yield f"attributetype ( 2.16.840.1.113730.3.1.17 NAME 'mailForwardingAddress' {forwarding} )"
    for number, (name, (must, may)) in enumerate(CLASSES.items(), start=1):
        needs = f" MUST ( {_listed(must)} )" if must else ""
        yield (
            f"objectclass ( {_BRANCH}.2.{number} NAME 'supann{name}' SUP top AUXILIARY{needs}"
            f" MAY ( {_listed(may)}{_MORE.get(name, '')} ) )"
        )


def _listed(names: str) -> str:
    return " $ ".join(f"supann{name}" for name in names.split())
