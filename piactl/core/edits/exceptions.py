"""Dated grants and denials of one service to one account."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from piactl.core.edits import Act, ActRefused, Altered, Author
from piactl.core.model.account import Account, ServiceException
from piactl.core.rules.desired import Rules
from piactl.errors import NotFound


def grant(author: Author, service: str, uai: str, start: date, end: date) -> Act:
    """Grants a service from `start` to `end`, both included; `uai` "" for a service of person scope."""
    return _exception(author, ServiceException(True, service, uai, start, end, author.by, author.reason))


def deny(author: Author, service: str, uai: str, start: date, end: date) -> Act:
    """Denies a service from `start` to `end`, whatever the rules grant."""
    return _exception(author, ServiceException(False, service, uai, start, end, author.by, author.reason))


def _exception(author: Author, new: ServiceException) -> Act:
    def act(account: Account, rules: Rules) -> Altered:
        if new.end < rules.as_of:
            raise ActRefused(f"{account.uid}: --until {new.end} is past; give the last day of the exception")
        same = [e for e in account.exceptions if _means(e, new.service, new.uai) and e.grants == new.grants]
        if any((e.start, e.end, e.reason) == (new.start, new.end, new.reason) for e in same):
            return Altered(account)
        # exceptions that do not overlap the new one are kept
        replaced = [e for e in same if e.start <= new.end and new.start <= e.end]
        others = tuple(e for e in account.exceptions if e not in replaced)
        return Altered(replace(account, exceptions=(*others, new)), author.note)

    return act


def end_exceptions(author: Author, service: str, uai: str = "") -> Act:
    """Ends the exceptions of a service, grants and denials; `uai` "" means those of every establishment."""

    def act(account: Account, rules: Rules) -> Altered:
        others = tuple(
            e
            for e in account.exceptions
            if not (_means(e, service, uai) or (not uai and e.service == service))
        )
        if others == account.exceptions:
            known = [*rules.policy.services, *(e.service for e in account.exceptions)]
            if service not in known:
                raise NotFound(
                    f"{account.uid}: it has no exception of {service}, and the policy has no such service.\n"
                    "See: piactl exception list"
                )
            return Altered(account)
        return Altered(replace(account, exceptions=others), author.note)

    return act


def _means(exception: ServiceException, service: str, uai: str) -> bool:
    return exception.service == service and exception.uai == uai
