"""Dated grants and denials of one service to one account, and the end of changes by hand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta

from piactl.core.acts import Act, ActRefused, Altered, Author
from piactl.core.model.account import Account, ServiceException
from piactl.core.model.overrides import MANUAL, OverrideKind
from piactl.core.rules.desired_account import Rules
from piactl.errors import NotFound
from piactl.phrase import Phrase


def make_exception(author: Author, service: str, uai: str, start: date, end: date, *, grants: bool) -> Act:
    """Grants a service from `start` to `end`, both included, or denies it even if the rules grant it; `uai`
    "" for a service of person scope."""
    new = ServiceException(grants, service, uai, start, end, author.by, author.reason)

    def act(account: Account, rules: Rules) -> Altered:
        if new.end < rules.as_of:
            raise ActRefused(
                Phrase(
                    "{uid}: --until {until} is past; give the last day of the exception",
                    uid=account.uid,
                    until=new.end,
                )
            )
        same = [e for e in account.exceptions if _means(e, new.service, new.uai) and e.grants == new.grants]
        if any((e.start, e.end, e.reason) == (new.start, new.end, new.reason) for e in same):
            return Altered(account)
        # exceptions that do not overlap the new one are kept
        replaced = [e for e in same if e.start <= new.end and new.start <= e.end]
        others = tuple(e for e in account.exceptions if e not in replaced)
        return Altered(replace(account, exceptions=(*others, new)), author.note)

    return act


def end_exceptions(author: Author, service: str, uai: str = "") -> Act:
    """Ends the exceptions of a service, grants and denials; `uai` "" means at every establishment."""

    def act(account: Account, rules: Rules) -> Altered:
        others = tuple(
            e
            for e in account.exceptions
            if not (_means(e, service, uai) or (not uai and e.service == service))
        )
        if others == account.exceptions:
            services = [*rules.policy.services, *(e.service for e in account.exceptions)]
            if service not in services:
                raise NotFound(
                    Phrase(
                        "{uid}: it has no exception of {service}, and the policy has no such service.\n"
                        "See: piactl exception list",
                        uid=account.uid,
                        service=service,
                    )
                )
            return Altered(account)
        return Altered(replace(account, exceptions=others), author.note)

    return act


def _means(exception: ServiceException, service: str, uai: str) -> bool:
    return exception.service == service and exception.uai == uai


def end_overrides(author: Author, kinds: Collection[OverrideKind]) -> Act:
    """Ends the overrides of these kinds today; the HR data apply again. An added assignment ends yesterday,
    or is removed if it has not begun."""

    def act(account: Account, rules: Rules) -> Altered:
        ended = [o for o in account.overrides if o.kind in kinds]
        if not ended:
            return Altered(account)
        added = {o.key for o in ended if o.kind is OverrideKind.ADD}
        yesterday = rules.as_of - timedelta(days=1)
        rows = []
        for row in account.assignments:
            if row.source != MANUAL or row.key not in added or (row.end and row.end <= yesterday):
                rows.append(row)
            elif row.start <= yesterday:
                rows.append(replace(row, end=yesterday))
        name = next((o.was for o in ended if o.kind is OverrideKind.NAME), account.usage_name)
        others = tuple(o for o in account.overrides if o not in ended)
        altered = replace(account, overrides=others, assignments=tuple(rows), usage_name=name)
        return Altered(altered, author.note)

    return act
