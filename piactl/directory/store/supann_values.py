"""SUPANN values of an account: states, civility, private address, as they are written and as they were."""

from __future__ import annotations

from piactl.core.model.account import State

SUPANN_STATES = {
    State.ACTIVE: "A:SupannActif",
    State.ON_LEAVE: "A:SupannActif",
    State.GRACE: "A:SupannSursis",
    State.ANTICIPATED: "I:SupannPrecree",
    State.DEACTIVATED: "I:SupannInactif",
    State.ARCHIVED: "I:SupannSupprDonnees",
}
FORMER_ARCHIVED = "I:SupannSupprCompte"
"""The state of archived accounts in the first layout. It announces a deletion, and none follows."""
LOCKED_STATE = "S:SupannVerrouAdministratif"
ALL_STATES = (*dict.fromkeys(SUPANN_STATES.values()), FORMER_ARCHIVED, LOCKED_STATE)
CIVILITIES = {"M": "M.", "MR": "M.", "MME": "Mme", "MLLE": "Mlle"}
"""The values of supannCivilite, by what HR writes without its point."""

LABEL = "{PERSO}"


def labelled_mail(address: str) -> str:
    """A private address as a value of supannMailPrive; "" for none."""
    return LABEL + address if address else ""


def plain_mail(value: str) -> str:
    """The address in a value of supannMailPrive, with a label or, as in the first layout, without one."""
    return value.partition("}")[2] if value.startswith("{") else value
