"""An account's devices as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from piactl.core.devices import PERIOD, drift_words
from piactl.report.escaping import shown

View = Mapping[str, Any]

COLUMNS = ("uid", "state", "login", "in_force", "suspended", "blocked")


def devices_text(view: View) -> str:
    return "".join(f"{shown(line)}\n" for line in _lines(view))


def _lines(view: View) -> Iterator[str]:
    yield f"{view['uid']}: {view['state']}, {_login(view)}"
    if not view["devices"]:
        yield f"  no device; to enrol one: piactl otp enroll {view['uid']}"
    for device in view["devices"]:
        yield from _device(view["uid"], device)
    names = ", ".join(f"{one['service']} ({one['otp']})" for one in view["services"])
    if names:
        yield f"  services that ask for a code: {names}"
    if view["blocked"]:
        yield f"  BLOCKED while no device is in force: {', '.join(view['blocked'])}"


def _login(view: View) -> str:
    if view["enforced_by"] == "portal":
        return "the portal asks for codes, not the directory"
    return {
        "password": "logs in with the password alone",
        "password and code": "logs in with the password followed by a code",
        "refused": "logging in is REFUSED: its device is suspended",
    }[view["login"]] + (" once it opens again" if view["state"] == "deactivated" else "")


def _device(uid: str, device: View) -> Iterator[str]:
    uses = {
        "waits": f"waits: piactl otp verify {uid}",
        "left over": "left over from a command that died",
    }
    yield f"  {device['device']}  {uses.get(device['use'], device['use'])}"
    rows = [
        ("made", f"{device['made']} by {device['by']}"),
        ("verified", device["verified"]),
        ("suspended", device["suspended"]),
        ("last code", device["last_use"] or "never"),
        ("clock", drift_words(device["drift_seconds"] // PERIOD)),
    ]
    for name, value in rows:
        if value:
            yield f"    {name:<10} {'right' if value == 'none' else value}"
