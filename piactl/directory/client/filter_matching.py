"""Which entries in memory a filter finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ldap3.operation import search as _search
from ldap3.protocol.convert import prepare_filter_for_sending as _octets

ldap3_search: Any = _search  # its stubs lack types
octets: Any = _octets

DN = ":dn"
"""The attribute of an entry in memory that has the parts of its DN."""
LowValues = Mapping[str, tuple[bytes, ...]]
"""The values of an entry in lower case, by attribute in lower case."""
Fits = Callable[[LowValues], bool]


@lru_cache(maxsize=512)
def matching(query: str) -> Fits:
    """Whether a filter made by `filters` finds an entry. It compares values without the case of ASCII
    letters, and orders them as bytes, which is right for days. Other text raises LDAPInvalidFilterError."""
    return _fits(ldap3_search.parse_filter(query, None, True, True, None, False).elements[0])


def _fits(node: Any) -> Fits:
    if node.tag == ldap3_search.NOT:
        other = _fits(node.elements[0])
        return lambda entry: not other(entry)
    if node.tag == ldap3_search.OR:
        return _any_of(node.elements)
    if node.tag == ldap3_search.AND:
        each = [_fits(element) for element in node.elements]
        return lambda entry: all(fits(entry) for fits in each)
    name = str(node.assertion["attr"]).lower()
    if node.tag == ldap3_search.MATCH_PRESENT:
        return lambda entry: bool(entry.get(name))
    if node.tag == ldap3_search.MATCH_SUBSTRING:
        begin = octets(node.assertion["initial"]).lower()
        return lambda entry: any(value.startswith(begin) for value in entry.get(name, ()))
    wanted = octets(node.assertion["value"]).lower()
    if node.tag == ldap3_search.MATCH_EXTENSIBLE:
        part = name.encode() + b"=" + wanted
        return lambda entry: part in entry.get(DN, ())
    if node.tag == ldap3_search.MATCH_LESS_OR_EQUAL:
        return lambda entry: any(value <= wanted for value in entry.get(name, ()))
    if node.tag == ldap3_search.MATCH_GREATER_OR_EQUAL:
        return lambda entry: any(value >= wanted for value in entry.get(name, ()))
    return lambda entry: wanted in entry.get(name, ())


def _any_of(nodes: list[Any]) -> Fits:
    names = {node.assertion["attr"].lower() for node in nodes if node.tag == ldap3_search.MATCH_EQUAL}
    if len(names) == 1 and all(node.tag == ldap3_search.MATCH_EQUAL for node in nodes):
        # many names at once, as plans ask for them
        [name], wanted = names, frozenset(octets(node.assertion["value"]).lower() for node in nodes)
        return lambda entry: not wanted.isdisjoint(entry.get(name, ()))
    each = [_fits(node) for node in nodes]
    return lambda entry: any(fits(entry) for fits in each)
