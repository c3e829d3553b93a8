"""Where the files that ship with piactl are: LDAP schemas, server settings, JSON Schemas, examples."""

from pathlib import Path


def schemas_folder() -> Path:
    """The folder `schemas/`, inside the installed package or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "schemas"
    return inside if inside.is_dir() else here.parent / "schemas"


def example(name: str) -> Path:
    """One of the example files piactl.yaml, policy.yaml and establishments.csv."""
    here = Path(__file__).resolve().parent
    inside = here / "examples" / name
    return inside if inside.is_file() else here.parent / "examples" / name
