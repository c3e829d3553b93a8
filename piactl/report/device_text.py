"""The one-time-code devices of an account, as text."""

from __future__ import annotations

from collections.abc import Iterator

from piactl.core.credentials.totp_devices import PERIOD, clock_words
from piactl.core.text import minute
from piactl.phrase import Phrase, joined
from piactl.report.account_text import View
from piactl.report.escaping import shown
from piactl.translation import translate, translate_word

DEVICE_COLUMNS = ("uid", "state", "login", "in_force", "suspended", "blocked")


def devices_text(view: View, timezone: str) -> str:
    """The devices of one account; times are in `timezone`, to the minute."""
    return "".join(f"{shown(line)}\n" for line in _device_lines(view, timezone))


def _device_lines(view: View, timezone: str) -> Iterator[str]:
    facts = {"uid": view["uid"], "state": translate_word(view["state"]), "login": _device_login(view)}
    yield translate(Phrase("{uid}: {state}, {login}", **facts))
    if not view["devices"]:
        none = Phrase("no device; to enrol one: piactl otp enroll {uid}", uid=view["uid"])
        yield f"  {translate(none)}"
    for device in view["devices"]:
        yield from _one_device(view["uid"], device, timezone)
    each = [
        Phrase("{name} ({text})", name=service["service"], text=Phrase(service["otp"]))
        for service in view["services"]
    ]
    names = joined(each, "{first}, {second}")
    if names:
        yield "  " + translate(Phrase("services that ask for a code: {names}", names=names))
    if view["blocked"]:
        blocked = ", ".join(view["blocked"])
        yield "  " + translate(Phrase("BLOCKED while no device is in force: {services}", services=blocked))


def _device_login(view: View) -> str:
    if view["refused_by"]:
        return {
            "closure": Phrase("logging in is REFUSED: the account is closed"),
            "lock": Phrase("logging in is REFUSED: the account is locked"),
            "device": Phrase("logging in is REFUSED: its device is suspended"),
        }[view["refused_by"]]
    if view["enforced_by"] == "portal":
        return Phrase("the portal asks for codes, not the directory")
    return {
        "password": Phrase("logs in with the password alone"),
        "password and code": Phrase("logs in with the password followed by a code"),
    }[view["login"]]


def _one_device(uid: str, device: View, timezone: str) -> Iterator[str]:
    uses = {
        "waits": Phrase("waits: piactl otp verify {uid}", uid=uid),
        "left over": Phrase("left over from an interrupted command"),
    }
    use = str(device["use"])
    yield f"  {device['device']}  {translate_word(uses.get(use, use))}"
    made = Phrase("{time} by {by}", time=minute(device["made"], timezone), by=device["by"])
    clock = clock_words(device["drift_seconds"] // PERIOD)
    rows = [
        ("made", made),
        *((of, minute(device[of], timezone)) for of in ("verified", "suspended") if device[of]),
        (
            Phrase("last code"),
            minute(device["last_use"], timezone) if device["last_use"] else Phrase("never"),
        ),
        ("clock", Phrase("right") if clock == "none" else clock),
    ]
    for name, value in rows:
        if value:
            yield f"    {translate_word(name):<10} {translate(value)}"
