"""Answers `why`: the state of an account, its services and its log in, on any day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from piactl.ask.account_views import case_rows
from piactl.core.explain.answers import right_answers, state_answer
from piactl.core.explain.login_causes import LoginContext, login_answer
from piactl.core.explain.question import GRACE, REFUSED, Answer, Question
from piactl.core.explain.run_steps import RunEnd, run_steps
from piactl.core.model.account import Right, State, numen_proves
from piactl.core.model.policy import Policy, Service
from piactl.core.model.settings import Settings
from piactl.core.plan.plan import Plan
from piactl.core.rules.reasons import post_text
from piactl.core.text import facts_of, iso, minute
from piactl.directory.interfaces import RawEntry
from piactl.directory.store.account_entries import Entry, as_found
from piactl.directory.store.password_state import read_credentials
from piactl.directory.store.record_entries import Record
from piactl.edits.account_store import AccountStore, find_entry
from piactl.planning.drift_by_rules import held_words

View = Mapping[str, Any]
LOGIN = "login"
_MAYBE_EMPTY = ("position", "source", "origin")


def why(
    store: AccountStore,
    name: str,
    now: datetime,
    settings: Settings,
    subject: Service | str,
) -> View:
    """The answers about one account. `subject` is a service (for establishment scope, one answer for each
    establishment); LOGIN, for every reason why it cannot log in; or "", for its state with a summary of each
    service. Raises as `find_entry`."""
    entry = find_entry(store, name)
    written = as_found(entry, store.encoding)
    account = replace(entry.account, login_from=written.login_from, login_until=written.login_until)
    question = _question(store, replace(entry, account=account), now, settings)
    login = login_answer(question, _around_login(store, entry, now, settings))
    if subject == LOGIN:
        answers = [login]
    else:
        question = _question(store, entry, now, settings)
        if isinstance(subject, Service):
            needed = [cause for cause in login.causes if cause.kind in ("device-none", "device-lost")]
            answers = [
                answer._replace(causes=(*answer.causes, *needed))
                if answer.yes and subject.otp == "always"
                else answer
                for answer in right_answers(question, subject)
            ]
        else:
            services = store.policy.services.values()
            answers = [state_answer(question), *(a for s in services for a in _in_short(question, s))]
    hinders = (cause for cause in login.causes if cause.effect is REFUSED or cause.kind == GRACE)
    hindered = next(hinders, None)
    coming = question.next_post
    return {
        "uid": question.account.uid,
        "display_name": question.account.display_name or None,
        "as_of": question.as_of.isoformat(),
        "policy_file": settings.policy_file,
        "cases": case_rows(question.cases),
        "numen_proves": numen_proves(entry.account, settings.password.holdoff_days, store.as_of),
        "log_in": {"kind": hindered.kind, "effect": hindered.effect} if hindered else None,
        "next_post": facts_of(coming, "uai", "start") if coming else None,
        "answers": [_answer(answer, store.policy) for answer in answers],
    }


def _around_login(store: AccountStore, entry: Entry, now: datetime, settings: Settings) -> LoginContext:
    policy = store.policy
    credentials = read_credentials(store.reader, entry.dn, entry.account.device, settings.password)
    last_night = store.last.as_of if store.last and not store.last.lost else None

    def show(instant: datetime) -> str:
        return minute(instant, policy.timezone)

    proves = numen_proves(entry.account, settings.password.holdoff_days, store.as_of)
    return LoginContext(credentials, now, show, policy.otp_enforced_by == "directory", last_night, proves)


def why_run(
    entry: Entry | None,
    name: str,
    record: Record,
    plan: Plan | None,
    written: Sequence[tuple[str, str]],
    host: str,
) -> View:
    """What the run of a record did with a person, step by step, as `why ACCOUNT --run RUN` shows it. `plan`
    is its plan, if it is known, and `written` has each write of the account, by the journal of this `host`.
    Without an account (`entry` None) `name` is a matricule."""
    account = entry.account if entry is not None else None
    uid = account.uid if account else ""
    made = [*written]
    if record.get("host") != host:
        made = [
            (problem["outcome"], problem["message"])
            for problem in record.get("problems", [])
            if problem["uid"] == uid
        ]
    end = RunEnd(
        status=record["status"],
        note=str(record.get("note") or ""),
        allowed=record.get("allowed") or {},
        writes=made,
        host="" if record.get("host") == host else str(record.get("host", "")),
    )
    matricules = account.matricules if account else (name,)
    return {
        "uid": uid or None,
        "matricule": next(iter(matricules), None),
        "display_name": (account.display_name or None) if account else None,
        "run": record["run"],
        "as_of": record.get("as_of"),
        "status": record["status"],
        "steps": run_steps(plan, uid, matricules, end),
    }


def _question(store: AccountStore, entry: Entry, now: datetime, settings: Settings) -> Question:
    account, encoding = entry.account, store.encoding
    today = now.astimezone(ZoneInfo(store.policy.timezone)).date()
    question = Question(
        account,
        store.rules,
        changeable=store.as_of == today or settings.any_date,
        as_of_option="" if store.as_of == today else f" --as-of {store.as_of}",
        found=encoding.rights(RawEntry(entry.dn, entry.values)),
        cases=store.cases_of(account.uid),
    )
    drifts = store.drift_of(entry)
    if not drifts:
        return question
    question = replace(
        question,
        drift={field: drift for drift in drifts for field in encoding.fields.get(drift.attribute, ("",))},
        held=held_words(entry),
    )
    if entry.drift is None:
        return question
    changed = (entry.drift.added, entry.drift.found)
    foreign = [encoding.rights(RawEntry(entry.dn, values)) for values in changed]
    return replace(question, foreign=frozenset[Right]().union(*foreign))


def _in_short(question: Question, service: Service) -> list[Answer]:
    """The answers that are yes or will be; if there are none, one no."""
    if question.account.state is State.ARCHIVED:
        return []
    answers = right_answers(question, service)
    positive_answers = [answer for answer in answers if answer.yes or answer.until is not None]
    return positive_answers or answers[-1:]


def _answer(answer: Answer, policy: Policy) -> dict[str, Any]:
    """The document of an answer; see schemas/json/why.schema.json."""
    return {
        **answer._asdict(),
        "uai": answer.uai or None,
        "label": answer.label or None,
        "otp": policy.services[answer.subject].otp if answer.subject in policy.services else None,
        "since": iso(answer.since),
        "until": iso(answer.until),
        "rules": [{"key": rule.key, "line": rule.line or None} for rule in answer.rules],
        "assignment": _assignment(answer, policy),
        "coming": [{"day": day.isoformat(), "what": text} for day, text in answer.coming],
        "causes": [
            {"kind": kind, "effect": effect, "text": text, "until": iso(until), "command": command or None}
            for kind, effect, text, command, until in answer.causes
        ],
        "remedies": [
            {"text": remedy.text, "day": iso(remedy.day), "command": remedy.command or None}
            for remedy in answer.remedies
        ],
    }


def _assignment(answer: Answer, policy: Policy) -> dict[str, Any] | None:
    row = answer.assignment
    if row is None:
        return None
    return {
        "text": post_text(row, policy),
        **facts_of(row, "uai", "function", "start", "end", *_MAYBE_EMPTY, null=_MAYBE_EMPTY),
    }
