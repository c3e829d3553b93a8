"""What would turn the answer on a right, and the exceptions that bear on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from piactl.core.account import ServiceException, State
from piactl.core.days import holding
from piactl.core.explaining.answer import Remedy
from piactl.core.explaining.case import Case
from piactl.core.explaining.proposals import denying, ending_exception, granting, reopening
from piactl.core.mobility import Post
from piactl.core.policy import Position, Service

ASSIGNED = (State.ACTIVE, State.ON_LEAVE)


def posts_with(case: Case, service: Service, uai: str) -> list[Post]:
    """The posts of the day whose profile has it."""
    return [
        post
        for post in case.career.posts_on(case.as_of)
        if post.has(service) and uai in ("", post.assignment.uai)
    ]


def exceptions_on(case: Case, service: Service, uai: str) -> list[ServiceException]:
    """Those of the day, and denials of person scope with them: they deny every establishment."""
    return [
        e
        for e in case.account.exceptions
        if e.service == service.name
        and (e.uai == uai or (not e.uai and not e.grants))
        and e.start <= case.as_of <= e.end
    ]


def denial_in_force(case: Case, service: Service, uai: str) -> ServiceException | None:
    """The denial without which it would be held."""
    denials = [e for e in exceptions_on(case, service, uai) if not e.grants]
    if not denials:
        return None
    held = holding(case.bare.rights.get((service.name, uai), []), case.number)
    granted = any(e.grants for e in exceptions_on(case, service, uai))
    open_ = case.state in (*ASSIGNED, State.GRACE)
    return denials[0] if held or (granted and open_) else None


def losing(case: Case, service: Service, uai: str) -> Iterator[Remedy]:
    def seen(one: Case) -> list[tuple[int, int]]:
        return one.right_days(service.name, uai)

    for exception in exceptions_on(case, service, uai):
        if exception.grants:
            yield from ending_exception(case, service, exception.uai, "grant", seen, yes=False)
    yield from denying(case, service, uai, seen)


def gaining(case: Case, service: Service, uai: str, until: date | None) -> Iterator[Remedy]:
    """`until`: after it the answer is yes by itself."""

    def seen(one: Case) -> list[tuple[int, int]]:
        return one.right_days(service.name, uai)

    denial = denial_in_force(case, service, uai)
    if denial is not None:
        yield from ending_exception(case, service, denial.uai, "denial", seen, yes=True)
    if uai or not service.per_establishment:
        yield from granting(case, service, uai, until, seen)
    if case.state in (State.GRACE, State.DEACTIVATED, State.ANTICIPATED):
        yield from reopening(case, seen)
        return
    posts = posts_with(case, service, uai)
    if any(not post.position.keeps_service(service.name) for post in posts):
        kept = sorted(p.name for p in case.rules.policy.positions.values() if _keeps(p, service))
        yield Remedy(f"a position that keeps it, told by HR ({', '.join(kept)})")
    elif not posts and case.state in ASSIGNED:
        where = f" at {uai}" if uai else ""
        who = ", ".join(sorted(service.profiles or ())) or "any"
        yield Remedy(f"an assignment{where} with a profile that has it ({who})", _adding(case, uai))


def _keeps(position: Position, service: Service) -> bool:
    return not position.ends and position.keeps_service(service.name)


def _adding(case: Case, uai: str) -> str:
    place = uai or "UAI"
    return (
        f"piactl assignment add {case.account.uid} --uai {place} --function CODE --end DATE"
        f'{case.option} --reason "..."'
    )
