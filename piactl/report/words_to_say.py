"""What an operator may read out to a caller after `why`: nothing of it is secret, because nobody has proved
yet who is calling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piactl.phrase import Phrase, joined

View = Mapping[str, Any]

_NUMEN = Phrase("I need your NUMEN; then I give you a password for one log in")
_COLLEAGUE = Phrase(
    "A colleague has to confirm this, and calls you back at your school with a password for one log in"
)
_HR = Phrase("The data of HR do not allow a log in at present; please ask your HR office")
_HANDED_OVER = Phrase("I cannot open it myself: I hand your request over to an administrator")


def _words_of_causes(*, numen_proves: bool) -> Mapping[str, Phrase]:
    """By the kind of the first cause."""
    password = _NUMEN if numen_proves else _COLLEAGUE
    lost = Phrase(
        "The telephone for your codes was reported lost or suspended. Another one has to be enrolled, and a "
        "colleague calls you back at your school"
    )
    if numen_proves:
        lost = Phrase(
            "The telephone for your codes was reported lost or suspended. If you have it in hand, I need "
            "your NUMEN; if not, another one has to be enrolled"
        )
    return {
        "no-password": Phrase("No password is set for this account. {next}", next=password),
        "activation-ended": Phrase("The activation password was not used in time. {next}", next=password),
        "activation-unused": Phrase(
            "Log in with the activation password that you were given, with its hyphens, and choose a password"
        ),
        "blocked": Phrase(
            "A wrong password was typed too often, and the account is blocked; I can lift the block, and the "
            "password stays the same"
        ),
        "delayed": Phrase("A wrong password was typed too often; wait a few minutes, then try again"),
        "wrong-tries": Phrase(
            "The last passwords that were typed were wrong. If yours is forgotten: {next}", next=password
        ),
        "expired": Phrase("The password has expired. {next}", next=password),
        "must-change": Phrase("At your next log in you have to choose another password"),
        "device-lost": lost,
        "device-clock": Phrase(
            "If your codes are refused: set the time of your telephone to automatic, and try again. If they "
            "still are: read me two codes that follow each other. If your password is forgotten: {next}",
            next=password,
        ),
        "device-drift": Phrase(
            "Leave the time of your telephone as it is. If your codes are refused: read me two that follow "
            "each other. If your password is forgotten: {next}",
            next=password,
        ),
        "device-none": Phrase(
            "Nothing here refuses your log in: try again, and read me the message that you get. If your "
            "password is forgotten: {next}. If a code is asked for: no telephone shows one yet, and I can "
            "set one up with you",
            next=password,
        ),
        "lock": Phrase("The account is locked. {next}", next=_HANDED_OVER),
        "entry": Phrase("The account is not as it should be. {next}", next=_HANDED_OVER),
        "position-lock": _HR,
        "closed-by-hand": Phrase("The account is closed. {next}", next=_HANDED_OVER),
        "leave": _HR,
        "delay": Phrase("You can log in; some applications of a new post open a few days later"),
    }


_CODES = {
    "always": Phrase("always with a code of your telephone"),
    "off-site": Phrase("from outside the school with a code of your telephone"),
}
"""By the setting `otp` of a service."""


def words_to_say(view: View) -> str:
    """The words for the first answer of a `why` document."""
    first = view["answers"][0]
    if view["cases"]:
        return Phrase(
            "HR and an administrator have to decide first whose data these are; the account follows the "
            "night after. I hand your request over to them"
        )
    if any((remedy["command"] or "").startswith("piactl why ") for remedy in first["remedies"]):
        return Phrase("This account was joined with another one of yours: log in with that one")
    is_login, hindered = first["subject"] == "login", view["log_in"]
    refused = bool(hindered) and hindered["effect"] == "refused" and hindered["kind"] != "not-started"
    if refused and not is_login:  # a right is of no use to somebody who cannot log in
        return _of_cause(hindered["kind"], view)
    causes = [cause for answer in view["answers"] for cause in answer["causes"]]
    if not is_login and any(cause["kind"] == "device-none" for cause in causes):
        return Phrase(
            "You have {service}, but it always asks for a code, and no telephone shows one yet: first I can "
            "set one up with you",
            service=first["label"],
        )
    if first["causes"]:
        kind = first["causes"][0]["kind"]
        if kind != "not-started":
            return _of_cause(kind, view)
        opens = _on_a_day(first)
        needs = any(cause["kind"] == "no-password" for cause in first["causes"])
        password = _NUMEN if view["numen_proves"] else _COLLEAGUE
        return Phrase("{opens}. {next}", opens=opens, next=password) if needs else opens
    if is_login:
        return Phrase("Nothing here refuses your log in: try again, and read me the message that you get")
    if first["subject"] == "state":
        if hindered and hindered["kind"] == "grace":
            return _of_cause(hindered["kind"], view)
        return Phrase("The account is open") if first["yes"] else _on_a_day(first)
    return _of_service(first["label"], view)


def _of_cause(kind: str, view: View) -> Phrase:
    coming, first = view["next_post"], view["answers"][0]
    if coming and kind in ("grace", "closed"):
        return Phrase(
            "Your former post has ended; the next one, at {uai}, begins on {day}, and some of its "
            "applications a few days later",
            uai=coming["uai"],
            day=coming["start"],
        )
    of_account = first["subject"] in ("state", "login")
    if kind == "grace":
        until = first["until"] if of_account and view["log_in"]["effect"] != "refused" else None
        return Phrase(
            "Your post has ended, and some applications with it{until}. If you have another one, or this one "
            "goes on, HR has to record it",
            until=Phrase("; you can log in until {day}", day=until) if until else "",
        )
    if kind in ("closed", "archived"):
        since = first["since"] if of_account else None
        return Phrase(
            "Your post has ended, and the account with it{since}: nobody can log in any more, not for its "
            "messages either. If you have another post, HR has to record it",
            since=Phrase(" since {day}", day=since) if since else "",
        )
    return _words_of_causes(numen_proves=view["numen_proves"])[kind]


def _on_a_day(answer: View) -> Phrase:
    day = day_of(answer)
    return Phrase("The account opens on {day}", day=day) if day else _HR


def _of_service(label: str, view: View) -> str:
    answers = view["answers"]
    held, others = ([a for a in answers if a["yes"] is yes] for yes in (True, False))
    if held and held[0]["otp"] in _CODES:
        label = Phrase("{service} ({code})", service=label, code=_CODES[held[0]["otp"]])
    if held and others and all(answer["uai"] for answer in answers):
        return Phrase(
            "You have {service} at {held}, and not at {others}. If that is wrong, I hand your request over "
            "to an administrator",
            service=label,
            held=", ".join(answer["uai"] for answer in held),
            others=", ".join(answer["uai"] for answer in others),
        )
    if len(held) > 1 and all(answer["uai"] for answer in held):
        places = (
            Phrase("{uai} until {day}", uai=answer["uai"], day=answer["until"])
            if answer["until"]
            else answer["uai"]
            for answer in held
        )
        return Phrase(
            "You have {service} at {places}: log out and in again, and read me the message that you get",
            service=label,
            places=joined(places, "{first} and {second}"),
        )
    if held and held[0]["uai"]:
        return Phrase(
            "You have {service} at {uai}. If that is not your school, your HR office has to correct it; if "
            "it is, log out and in again, and read me the message that you get",
            service=label,
            uai=held[0]["uai"],
        )
    if held:
        return Phrase(
            "You have {service}: log out and in again, and read me the message that you get", service=label
        )
    words = [_not_held(label, answer, view) for answer in answers]
    return joined(dict.fromkeys(words), "{first}. {second}")


def _not_held(label: str, answer: View, view: View) -> Phrase:
    service = Phrase("{service} at {uai}", service=label, uai=answer["uai"]) if answer["uai"] else label
    day = day_of(answer)
    if day:
        return Phrase(
            "By the data of HR you get {service} on {day}; until then it is closed for you",
            service=service,
            day=day,
        )
    if view["log_in"] and view["log_in"]["kind"] == "grace":
        grace = _of_cause("grace", view)
        if not (answer["uai"] and answer["since"]):
            return grace
        ended = Phrase(
            "Since {day} you no longer have {service}: your post there has ended",
            day=answer["since"],
            service=service,
        )
        if any(map(day_of, view["answers"])):
            return ended
        return Phrase("{first}. {second}", first=ended, second=grace)
    return Phrase(
        "With your present post you do not have {service}. If you need it, I hand your request over to an "
        "administrator",
        service=service,
    )


def day_of(answer: View) -> str | None:
    """From when time alone helps."""
    return next((r["day"] for r in answer["remedies"] if r["day"] and not r["command"]), None)


def handed_over(view: View, command: str, why: str) -> Phrase:
    """One line for an administrator: whose account, why, and the command, which may end the reason."""
    if not why.endswith(command):
        why = Phrase("{why}: {command}", why=why, command=command)
    return Phrase("{name} ({uid}): {why}", name=view["display_name"] or "-", uid=view["uid"], why=why)
