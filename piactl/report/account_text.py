"""The text output of one account, of an activation password, and of the devices of an account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from piactl.core.credentials.totp_devices import PERIOD, clock_words
from piactl.core.plan.drift import fate_words
from piactl.core.rules.career import NEVER
from piactl.phrase import Phrase
from piactl.report.escaping import shown

View = Mapping[str, Any]


def account_text(view: View, as_of: str) -> str:
    return "\n".join(shown(line) for line in _lines(view, as_of)) + "\n"


def _lines(view: View, as_of: str) -> Iterator[str]:
    yield f"{view['display_name'] or '(archived)'}  {view['uid']}"
    yield from _drift(view)
    yield from (f"  {case['text']}" for case in view["cases"])
    rows = [
        ("state", view["state"] + (", LOCKED" if view["locked"] else "") + f" on {as_of}"),
        ("merged into", view["merged_into"]),
        ("address", view["address"]),
        ("aliases", ", ".join(view["aliases"])),
        ("matricule", ", ".join(view["matricules"])),
        ("profiles", ", ".join(view["profiles"])),
        ("sponsor", view["sponsor"]),
        (Phrase("log in"), _login(view)),
        (Phrase("next due"), view["next_due"]),
    ]
    for name, value in rows:
        if value:
            yield f"  {name:<10} {value}"
    if view["lock"]:
        lock = view["lock"]
        days = _span(lock["since"], lock["until"])
        yield f"  locked by  {lock['by']}: {lock['reason']}" + (f" ({days})" if days else "")
    if view["overrides"] or view["exceptions"]:
        yield "  by hand"
    for o in view["overrides"]:
        until = "" if o["kind"] == "close" else f", by hand until {o['until']}"
        yield f"    {o['what']}{until} ({o['by']}: {o['reason']})"
    for e in view["exceptions"]:
        right = e["service"] + (f" at {e['uai']}" if e["uai"] else "")
        effect = "granted" if e["kind"] == "grant" else "denied"
        yield f"    {right} {effect}, {_span(e['start'], e['end'])} ({e['by']}: {e['reason']})"
    if view["assignments"]:
        yield "  assignments"
    for a in view["assignments"]:
        extra = " ".join(filter(None, (a["corps"], a["position"], a["modality"])))
        days = _span(a["start"], a["end"])
        yield f"    {a['uai']} {a['function']:<5} {days}  {a['profile'] or '-'}  {extra}".rstrip()
    if view["entitlements"]:
        yield "  services"
    for e in view["entitlements"]:
        name = e["service"] + (f" at {e['uai']}" if e["uai"] else "")
        begins = f"{'begins' if e['from'] > as_of else 'since'} {e['from']}" if e["from"] else ""
        until = f" until {e['to']}" if e["to"] else ""
        yield f"    {name:<28} {begins}{until}".rstrip()


def _drift(view: View) -> Iterator[str]:
    if not view["drift"]:
        return
    uid = view["uid"]
    yield "  CHANGED BY ANOTHER PROGRAM"
    for drift in view["drift"]:
        yield f"    {drift['class']}: {drift_line(drift)}"
    if view["held"]:
        yield "    what it was is not known: state, log in and services are those that the last run gave"
    yield f"    decide: piactl drift revert {uid}, or see: piactl drift show {uid}"


def _span(first: str | None, last: str | None) -> str:
    if first and last:
        return Phrase("{first} to {last}", first=first, last=last)
    if last:
        return Phrase("until {last}", last=last)
    return Phrase("from {first}", first=first) if first else ""


def _login(view: View) -> str:
    """The login window, and what refuses the log in on the day."""
    never = view["login_until"] == NEVER.isoformat()
    dates = "never" if never else _span(view["login_from"], view["login_until"])
    shut = view["locked"] or view["state"] in ("deactivated", "archived")
    if shut and not view["refused_by"]:
        return f"{dates}; LET IN, because another program removed what refuses it"
    if "link" in view["refused_by"]:
        return f"{dates}; REFUSED by a link to no device as well, whatever the password policy"
    if shut:
        return f"{dates}; REFUSED by these dates alone, which count only where a password policy applies"
    return dates


def activation_text(uid: str, display_name: str, address: str, password: str, until: str) -> str:
    """The activation password of one account, with blank lines around it."""
    owner = f"{shown(display_name)} ({shown(uid)})" + (f", {shown(address)}" if address else "")
    return (
        f"\n  {owner}\n"
        f"  activation password  {password}\n"
        f"  valid until          {until}\n"
        "  Type it as the password, including the hyphens; a new password is then required.\n\n"
    )


def drift_line(drift: Mapping[str, Any], whose: str = "the next night") -> str:
    """What another program changed of one attribute, what piactl wrote, and what becomes of it; `whose` run
    puts back what does not stay."""
    ours, theirs = (" and ".join(map(str, drift[side])) or "none" for side in ("ours", "theirs"))
    until = f" until {drift['until']}" if drift["until"] else ""
    owner = f", although it is a name of {drift['owner']}" if drift["owner"] else ""
    by = f"; {drift['by']}" if drift["by"] else ""
    since = f", since {drift['since']}" if drift["since"] else ""
    fate = fate_words(drift["fate"], whose)
    return f"{drift['attribute']} {ours} -> {theirs}{since}{owner}: {fate}{until}{by}"


DEVICE_COLUMNS = ("uid", "state", "login", "in_force", "suspended", "blocked")


def devices_text(view: View, timezone: str) -> str:
    """The devices of one account; times are in `timezone`, to the minute."""
    return "".join(f"{shown(line)}\n" for line in _device_lines(view, ZoneInfo(timezone)))


def _device_lines(view: View, zone: ZoneInfo) -> Iterator[str]:
    yield f"{view['uid']}: {view['state']}, {_device_login(view)}"
    if not view["devices"]:
        yield f"  no device; to enrol one: piactl otp enroll {view['uid']}"
    for device in view["devices"]:
        yield from _one_device(view["uid"], device, zone)
    names = ", ".join(f"{service['service']} ({service['otp']})" for service in view["services"])
    if names:
        yield f"  services that ask for a code: {names}"
    if view["blocked"]:
        yield f"  BLOCKED while no device is in force: {', '.join(view['blocked'])}"


def _device_login(view: View) -> str:
    refused = {
        "closure": Phrase("the account is closed"),
        "lock": Phrase("the account is locked"),
        "device": Phrase("its device is suspended"),
    }
    if view["refused_by"]:
        return f"logging in is REFUSED: {refused[view['refused_by']]}"
    if view["enforced_by"] == "portal":
        return Phrase("the portal asks for codes, not the directory")
    return {
        "password": Phrase("logs in with the password alone"),
        "password and code": Phrase("logs in with the password followed by a code"),
    }[view["login"]]


def _one_device(uid: str, device: View, zone: ZoneInfo) -> Iterator[str]:
    uses = {
        "waits": Phrase("waits: piactl otp verify {uid}", uid=uid),
        "left over": Phrase("left over from an interrupted command"),
    }
    yield f"  {device['device']}  {uses.get(device['use'], device['use'])}"
    rows = [
        ("made", f"{_minute(device['made'], zone)} by {device['by']}"),
        ("verified", _minute(device["verified"], zone)),
        ("suspended", _minute(device["suspended"], zone)),
        (Phrase("last code"), _minute(device["last_use"], zone) or "never"),
        ("clock", clock_words(device["drift_seconds"] // PERIOD)),
    ]
    for name, value in rows:
        if value:
            yield f"    {name:<10} {'right' if value == 'none' else value}"


def _minute(text: str | None, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M}" if text else ""
