"""Where the files that ship with piactl are: schemas, settings of slapd, examples."""

from pathlib import Path


def schemas_folder() -> Path:
    """The folder `schemas/`: LDAP schemas and JSON Schemas."""
    return _shipped("schemas")


def slapd_folder() -> Path:
    """The folder `slapd/`: the settings of the server, and the entries that piactl needs."""
    return _shipped("slapd")


def example(name: str) -> Path:
    """One of the example files piactl.yaml, policy.yaml and establishments.csv."""
    return _shipped("examples") / name


def _shipped(folder: str) -> Path:
    """A folder inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / folder
    return inside if inside.is_dir() else here.parent / folder
