"""The text output of one account, and of an activation password."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from piactl.core.plan.drift import fate_words
from piactl.core.rules.career import NEVER
from piactl.phrase import Phrase, joined
from piactl.report.escaping import shown
from piactl.translation import translate, translate_word

View = Mapping[str, Any]


def account_text(view: View, as_of: str) -> str:
    return "\n".join(shown(line) for line in _lines(view, as_of)) + "\n"


def card_text(view: View, born: str, post: str | None, login: View) -> str:
    """Four lines about an account that was found: name, address, what the person does where, and the state;
    if the log in is refused, with the first reason of the answer `login`. Former addresses, and a name at
    birth that is not in use, have a line each."""
    state = translate_word(view["state"])
    if view["locked"]:
        state = Phrase("{state}, LOCKED", state=state)
    refused = [cause["text"] for cause in login["causes"] if cause["effect"] == "refused"]
    if not login["yes"]:
        state = Phrase("{state}; cannot log in: {why}", state=state, why=[*refused, login["reason"]][0])
    lines = [
        f"{view['display_name'] or translate_word('(archived)')}  {view['uid']}",
        *(
            f"  {translate(text)}"
            for text in (
                view["address"] or Phrase("no address"),
                *((Phrase("formerly {names}", names=", ".join(view["aliases"])),) if view["aliases"] else ()),
                *((Phrase("born {name}", name=born),) if born else ()),
                post or Phrase("no post"),
                state,
            )
        ),
    ]
    return "".join(f"{shown(line)}\n" for line in lines)


def _lines(view: View, as_of: str) -> Iterator[str]:
    yield f"{view['display_name'] or translate_word('(archived)')}  {view['uid']}"
    yield from _drift(view)
    yield from (f"  {translate(case['text'])}" for case in view["cases"])
    rows = [
        ("state", _state(view, as_of)),
        (Phrase("merged into"), view["merged_into"]),
        ("address", view["address"]),
        ("aliases", ", ".join(view["aliases"])),
        ("matricule", ", ".join(view["matricules"])),
        ("profiles", ", ".join(view["profiles"])),
        ("sponsor", view["sponsor"]),
        (Phrase("log in"), translate(_login(view))),
        (Phrase("next due"), view["next_due"]),
    ]
    for name, value in rows:
        if value:
            yield f"  {translate_word(name):<10} {translate(value)}"
    if view["lock"]:
        lock = view["lock"]
        days = translate(_span(lock["since"], lock["until"]))
        yield f"  {translate(Phrase('locked by')):<10} {_said(lock)}" + (f" ({days})" if days else "")
    if view["overrides"] or view["exceptions"]:
        yield f"  {translate(Phrase('by hand'))}"
    for o in view["overrides"]:
        what = o["what"]
        if o["kind"] != "close":
            what = Phrase("{what}, by hand until {day}", what=what, day=o["until"])
        yield f"    {translate(what)} ({_said(o)})"
    for e in view["exceptions"]:
        facts = {"right": right_words(e), "days": _span(e["start"], e["end"])}
        words = Phrase("{right} denied, {days}", **facts)
        if e["kind"] == "grant":
            words = Phrase("{right} granted, {days}", **facts)
        yield f"    {translate(words)} ({_said(e)})"
    if view["assignments"]:
        yield f"  {translate_word('assignments')}"
    for a in view["assignments"]:
        extra = " ".join(filter(None, (a["corps"], a["position"], a["modality"])))
        days = translate(_span(a["start"], a["end"]))
        yield f"    {a['uai']} {a['function']:<5} {days}  {a['profile'] or '-'}  {extra}".rstrip()
    if view["entitlements"]:
        yield f"  {translate_word('services')}"
    for e in view["entitlements"]:
        yield f"    {translate(right_words(e)):<28} {translate(_days(e, as_of))}".rstrip()


def _state(view: View, as_of: str) -> str:
    state = translate_word(view["state"])
    if view["locked"]:
        return translate(Phrase("{state}, LOCKED on {day}", state=state, day=as_of))
    return translate(Phrase("{state} on {day}", state=state, day=as_of))


def right_words(right: View) -> str:
    """`siecle at 0800001A`, or the service alone."""
    if not right["uai"]:
        return str(right["service"])
    return Phrase("{service} at {uai}", service=right["service"], uai=right["uai"])


def _days(right: View, as_of: str) -> str:
    first, last = right["from"], right["to"]
    words: str = ""
    if first:
        words = Phrase("begins {day}", day=first) if first > as_of else Phrase("since {day}", day=first)
    return Phrase("{words} until {day}", words=words, day=last) if last else words


def _drift(view: View) -> Iterator[str]:
    if not view["drift"]:
        return
    yield f"  {translate(Phrase('CHANGED BY ANOTHER PROGRAM'))}"
    for drift in view["drift"]:
        yield f"    {translate_word(drift['class'])}: {translate(drift_line(drift))}"
    if view["held"]:
        known = Phrase(
            "what it was is not known: state, log in and services are those that the last run gave"
        )
        yield f"    {translate(known)}"
    decide = Phrase(
        'decide: piactl drift revert {uid} --reason "...", or see: piactl drift show {uid}', uid=view["uid"]
    )
    yield f"    {translate(decide)}"


def _span(first: str | None, last: str | None) -> str:
    if first and last:
        return Phrase("{first} to {last}", first=first, last=last)
    if last:
        return Phrase("until {last}", last=last)
    return Phrase("from {first}", first=first) if first else ""


def _login(view: View) -> str:
    never = view["login_until"] == NEVER.isoformat()
    dates = Phrase("never") if never else _span(view["login_from"], view["login_until"])
    shut = view["locked"] or view["state"] in ("deactivated", "archived")
    if shut and not view["refused_by"]:
        return Phrase("{dates}; LET IN, because another program removed what refuses it", dates=dates)
    if "link" in view["refused_by"]:
        return Phrase(
            "{dates}; REFUSED by a link to no device as well, whatever the password policy", dates=dates
        )
    if shut:
        return Phrase(
            "{dates}; REFUSED by these dates alone, which count only where a password policy applies",
            dates=dates,
        )
    return dates


def activation_text(uid: str, display_name: str, address: str, password: str, until: str) -> str:
    """The activation password of one account, with blank lines around it."""
    owner = shown(display_name) + (f", {shown(address)}" if address else "")
    hint = Phrase("Type it as the password, including the hyphens; a new password is then required.")
    return (
        f"\n  {owner}\n"
        f"  {translate(Phrase('log in as')):<20} {shown(uid)}\n"
        f"  {translate(Phrase('activation password')):<20} {password}\n"
        f"  {translate(Phrase('valid until')):<20} {translate(until)}\n"
        f"  {translate(hint)}\n\n"
    )


NEXT_NIGHT = Phrase("the next night")


def drift_line(drift: Mapping[str, Any], whose: str = NEXT_NIGHT) -> str:
    """What another program changed of one attribute, what piactl wrote, and what becomes of it; `whose` run
    puts back what does not stay."""
    ours, theirs = (
        joined(map(str, drift[side]), "{first} and {second}") or Phrase("none") for side in ("ours", "theirs")
    )
    changed: str = Phrase(
        "{attribute} {ours} -> {theirs}", attribute=drift["attribute"], ours=ours, theirs=theirs
    )
    if drift["since"]:
        changed = Phrase("{changed}, since {day}", changed=changed, day=drift["since"])
    if drift["owner"]:
        changed = Phrase("{changed}, although it is a name of {owner}", changed=changed, owner=drift["owner"])
    fate = fate_words(drift["fate"], whose)
    if drift["until"]:
        fate = Phrase("{fate} until {day}", fate=fate, day=drift["until"])
    change = Phrase("{changed}: {fate}", changed=changed, fate=fate)
    return joined([change, *filter(None, [drift["by"]])])


def _said(decision: View) -> str:
    """Who decided, and the reason."""
    return translate(Phrase("{by}: {reason}", by=decision["by"], reason=decision["reason"]))
