"""The text output of an account's devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from piactl.core.credentials.totp import PERIOD, drift_words
from piactl.report.escaping import shown

View = Mapping[str, Any]

COLUMNS = ("uid", "state", "login", "in_force", "suspended", "blocked")


def devices_text(view: View, timezone: str) -> str:
    """The devices of one account; times are in `timezone`, to the minute."""
    return "".join(f"{shown(line)}\n" for line in _lines(view, ZoneInfo(timezone)))


def _lines(view: View, zone: ZoneInfo) -> Iterator[str]:
    yield f"{view['uid']}: {view['state']}, {_login(view)}"
    if not view["devices"]:
        yield f"  no device; to enrol one: piactl otp enroll {view['uid']}"
    for device in view["devices"]:
        yield from _device(view["uid"], device, zone)
    names = ", ".join(f"{service['service']} ({service['otp']})" for service in view["services"])
    if names:
        yield f"  services that ask for a code: {names}"
    if view["blocked"]:
        yield f"  BLOCKED while no device is in force: {', '.join(view['blocked'])}"


def _login(view: View) -> str:
    refused = {
        "closure": "the account is closed",
        "lock": "the account is locked",
        "device": "its device is suspended",
    }
    if view["refused_by"]:
        return f"logging in is REFUSED: {refused[view['refused_by']]}"
    if view["enforced_by"] == "portal":
        return "the portal asks for codes, not the directory"
    return {
        "password": "logs in with the password alone",
        "password and code": "logs in with the password followed by a code",
    }[view["login"]]


def _device(uid: str, device: View, zone: ZoneInfo) -> Iterator[str]:
    uses = {
        "waits": f"waits: piactl otp verify {uid}",
        "left over": "left over from an interrupted command",
    }
    yield f"  {device['device']}  {uses.get(device['use'], device['use'])}"
    rows = [
        ("made", f"{_minute(device['made'], zone)} by {device['by']}"),
        ("verified", _minute(device["verified"], zone)),
        ("suspended", _minute(device["suspended"], zone)),
        ("last code", _minute(device["last_use"], zone) or "never"),
        ("clock", drift_words(device["drift_seconds"] // PERIOD)),
    ]
    for name, value in rows:
        if value:
            yield f"    {name:<10} {'right' if value == 'none' else value}"


def _minute(text: str | None, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M}" if text else ""
