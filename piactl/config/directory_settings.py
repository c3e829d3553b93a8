"""Checks of the directory section: addresses, distinguished names, and passwords over the wire."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote, urlsplit

from piactl.config.strict_yaml import Document, Node, quoted

_SCHEMES = ("ldap", "ldaps", "ldapi")
_RDN = re.compile(r"\s*[A-Za-z][A-Za-z0-9.-]*\s*=\s*(?:[^\\,+\"<>;=]|\\.|=)+")
_COMMA = re.compile(r"(?<!\\),")


def check_servers(document: Document, directory: Node) -> None:
    """Adds a mistake for each unusable address, and for each that would send a password in the clear."""
    identities = [node for _, node in directory.at("identities").entries()]
    password = any(node.at("password_file").value is not None for node in identities)
    external = any(node.at("external").truth(False) for node in identities)
    starttls = directory.at("tls").at("starttls").truth(False)
    for node in directory.at("servers").text_nodes():
        wrong = _wrong_address(node)
        scheme = node.text().partition("://")[0].lower()
        if wrong:
            document.mistake(node, f"directory.servers: {wrong}")
        elif external and scheme != "ldapi":
            document.mistake(
                node,
                f"directory.servers: an identity with `external: true` needs ldapi://, not {quoted(node)};"
                " give that identity a dn and a password_file",
            )
        elif scheme == "ldap" and password and not starttls and not _is_loopback(node.text()):
            document.mistake(
                node,
                f"directory.servers: {quoted(node)} would carry passwords in the clear;"
                " use ldaps://, or `tls: {starttls: true}`",
            )


def check_identities(document: Document, directory: Node) -> None:
    """Adds a mistake for each identity that is not either EXTERNAL or a DN with a password file."""
    for name, node in directory.at("identities").entries():
        if not isinstance(node.value, dict):
            continue
        label = f"directory.identities.{name}"
        external = node.at("external").truth(False)
        given = [key for key in ("dn", "password_file") if node.at(key).value is not None]
        if external and given:
            document.mistake(
                node.at(given[0]), f"{label}: `external: true` cannot be combined with {' and '.join(given)}"
            )
        elif not external and len(given) < 2:
            lacking = " and ".join(key for key in ("dn", "password_file") if key not in given)
            document.mistake(
                node, f"{label}: {lacking} is missing; or write `external: true` (over ldapi://)"
            )
        check_dn(document, node.at("dn"), f"{label}.dn")


def check_tree(document: Document, directory: Node) -> None:
    """Adds a mistake if suffix, accounts or state is not a DN, or accounts or state is not below the
    suffix."""
    places = {key: directory.at(key) for key in ("suffix", "accounts", "state")}
    fine = [check_dn(document, node, f"directory.{key}") for key, node in places.items()]
    if not all(fine):
        return
    suffix = normal_dn(places["suffix"].text())
    for key in ("accounts", "state"):
        node = places[key]
        parts = normal_dn(node.text())
        if len(parts) <= len(suffix) or parts[-len(suffix) :] != suffix:
            document.mistake(
                node,
                f"directory.{key}: {quoted(node)} is not below the suffix {places['suffix'].text()}",
            )


def check_attributes(document: Document, directory: Node) -> None:
    """Adds a mistake if two attributes are renamed to the same one."""
    first: dict[str, str] = {}
    for name, node in directory.at("attributes").entries():
        owner = first.setdefault(node.text().casefold(), name)
        if owner != name and node.text():
            document.mistake(node, f"directory.attributes.{name}: {node.text()} is already used for {owner}")


def normal_dn(dn: str) -> list[str]:
    """The RDNs of a DN in lower case and without blanks, for comparison."""
    return [re.sub(r"\s*=\s*", "=", part.strip().casefold(), count=1) for part in _COMMA.split(dn)]


def check_dn(document: Document, node: Node, label: str) -> bool:
    """Whether the text of a node is a distinguished name. Adds a mistake if it is not."""
    if not isinstance(node.value, str):
        return False
    for part in _COMMA.split(node.value):
        if not all(_RDN.fullmatch(piece) for piece in re.split(r"(?<!\\)\+", part)):
            document.mistake(
                node, f"{label}: {quoted(node)} is not a distinguished name, such as ou=education,c=fr"
            )
            return False
    return True


def _wrong_address(node: Node) -> str:
    """What is wrong with a server address, or "". The message never shows a possible password."""
    text = node.text()
    if "@" in text:
        return "an address must not contain a user or a password; put them under identities"
    example = "ldapi:///, ldaps://ldap.example.fr or ldap://ldap.example.fr:389"
    try:
        url = urlsplit(text)
        port = url.port if url.scheme != "ldapi" else None
    except ValueError:
        return f"{quoted(node)} is not an address such as {example}"
    if (
        url.scheme not in _SCHEMES
        or "://" not in text
        or url.query
        or url.fragment
        or url.path not in ("", "/")
    ):
        return f"{quoted(node)} is not an address such as {example}"
    if url.scheme != "ldapi" and (not url.hostname or port == 0):
        return f"{quoted(node)} names no host; expected an address such as {example}"
    if url.scheme == "ldapi" and url.netloc and not unquote(url.netloc).startswith("/"):
        return f"{quoted(node)}: write the path of the socket with %2F for /, as in ldapi://%2Frun%2Fslapd%2Fldapi"
    return ""


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
