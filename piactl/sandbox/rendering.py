"""Fills the placeholders of the server settings in `schemas/ldap/*.in`."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from piactl.resources import schemas_folder


def render(name: str, values: Mapping[str, str]) -> str:
    """The text of `schemas/ldap/<name>` with each `${placeholder}` replaced by its value.

    Raises KeyError for a placeholder without a value, and ValueError for a value that would end the
    line or the quotes it stands in, and so change the meaning of the settings.
    """
    for key, value in values.items():
        if not key.startswith("accesslog_") and any(c in value for c in '"\\\n\r\0'):
            raise ValueError(f"{key}: quotes, backslashes and line ends cannot stand in server settings")
    return Template((schemas_folder() / "ldap" / name).read_text(encoding="utf-8")).substitute(values)


def render_slapd_conf(values: Mapping[str, str], *, accesslog: bool = False) -> str:
    """All of slapd.conf; with `accesslog` also the database and the overlay that log writes."""
    parts = {"accesslog_database": "", "accesslog_overlay": ""}
    if accesslog:
        parts["accesslog_database"] = render("accesslog-database.conf.in", values)
        parts["accesslog_overlay"] = render("accesslog-overlay.conf.in", values)
    return render("slapd.conf.in", {**values, **parts})
