"""Why an account is what it is, has what it has, and can log in or not, on any day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from piactl.core.explain.account_state import state_answer
from piactl.core.explain.question import Answer, Case, Rule
from piactl.core.explain.service_right import right_answers
from piactl.core.model.account import Account, State
from piactl.core.model.policy import Service
from piactl.core.rules.reasons import assignment_text
from piactl.directory.port import Reader
from piactl.flows.queries.accounts import account_on, find_entry
from piactl.flows.site import Site

View = Mapping[str, Any]


def why_state(reader: Reader, site: Site, name: str, as_of: date, now: datetime) -> View:
    """The state of an account, and a summary of each service. Raises as `find_entry`."""
    case = _case(site, find_entry(reader, site, name).account, as_of, now)
    services = [answer for one in site.policy.services.values() for answer in _in_short(case, one)]
    return _view(site, case, [state_answer(case), *services])


def why_service(reader: Reader, site: Site, name: str, service: Service, as_of: date, now: datetime) -> View:
    """One service of an account, for each establishment where it has that scope."""
    case = _case(site, find_entry(reader, site, name).account, as_of, now)
    return _view(site, case, right_answers(case, service))


def why_login(reader: Reader, site: Site, name: str, as_of: date, now: datetime) -> View:
    """Whether the account can log in, and every reason why it cannot."""
    # loaded here: the other questions do not need them
    from piactl.core.explain.login import LoginContext, entry_differs, login_answer
    from piactl.directory.store.credentials import read_credentials

    entry = find_entry(reader, site, name)
    case = _case(site, entry.account, as_of, now)
    known = read_credentials(reader, entry.dn, entry.account.device, site.settings.password)
    last = _last_run(reader, site) if entry_differs(case, known) else None
    zone = ZoneInfo(site.policy.timezone)

    def show(instant: datetime) -> str:
        return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M")

    by_server = site.policy.otp_enforced_by == "directory"
    around = LoginContext(known, now, show, by_server, last)
    return _view(site, case, [login_answer(case, around)])


def _last_run(reader: Reader, site: Site) -> date | None:
    from piactl.directory.store.memory_records import read_last

    last = read_last(reader, site.settings.directory.state, site.unreadable)
    return last.as_of if last and not last.lost else None


def _case(site: Site, account: Account, as_of: date, now: datetime) -> Case:
    today = now.astimezone(ZoneInfo(site.policy.timezone)).date()
    return Case(
        account,
        site.rules(as_of),
        lambda one, day: account_on(one, site, day),
        acts=as_of == today or site.settings.any_date,
        option="" if as_of == today else f" --as-of {as_of}",
    )


def _in_short(case: Case, service: Service) -> list[Answer]:
    """The answers that are yes or will be; where there is none, one no."""
    if case.account.state is State.ARCHIVED:
        return []
    answers = right_answers(case, service)
    wanted = [one for one in answers if one.yes or one.until is not None]
    return wanted or answers[-1:]


def _view(site: Site, case: Case, answers: Sequence[Answer]) -> View:
    """What `why -o json` prints, as schemas/json/why.schema.json says."""
    return {
        "uid": case.account.uid,
        "display_name": case.account.display_name or None,
        "as_of": case.as_of.isoformat(),
        "policy_file": site.settings.policy_file,
        "answers": [_answer(site, case, one) for one in answers],
    }


def _answer(site: Site, case: Case, one: Answer) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "uai": one.uai or None,
        "label": one.label or None,
        "yes": one.yes,
        "verdict": one.verdict,
        "since": _iso(one.since),
        "until": _iso(one.until),
        "reason": one.reason,
        "rules": [_rule(rule) for rule in one.rules],
        "assignment": _assignment(one),
        "notes": list(one.notes),
        "coming": [{"day": day.isoformat(), "what": what} for day, what in one.coming],
        "causes": [
            {
                "kind": cause.kind,
                "effect": cause.effect.value,
                "text": cause.text,
                "until": _iso(cause.until),
                "command": cause.command or None,
            }
            for cause in one.causes
        ],
        "remedies": [
            {"text": remedy.text, "day": _iso(remedy.day), "command": remedy.command or None}
            for remedy in one.remedies
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {"key": rule.key, "line": rule.line or None}


def _assignment(one: Answer) -> dict[str, Any] | None:
    row = one.assignment
    if row is None:
        return None
    return {
        "text": assignment_text(row),
        "uai": row.uai,
        "function": row.function,
        "start": row.start.isoformat(),
        "end": _iso(row.end),
        "position": row.position or None,
        "source": row.source or None,
        "origin": row.origin or None,
    }


def _iso(day: date | datetime | None) -> str | None:
    return day.isoformat() if day else None
