"""Where the files that ship with piactl are: LDAP schemas, server settings, JSON Schemas."""

from pathlib import Path


def schemas_folder() -> Path:
    """The folder `schemas/`, inside the installed package or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "schemas"
    return inside if inside.is_dir() else here.parent / "schemas"
