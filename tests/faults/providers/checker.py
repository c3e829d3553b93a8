"""Compares directories and journals value by value, as the files and the wire show them.

It uses no code of piactl: entries come from `ldapsearch`, the journal is read as JSON, and digests and the
chain are computed by the rules in the documents. Every check returns its findings in words; an empty list
means that there are none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Entries = Mapping[str, Mapping[str, Sequence[bytes]]]
"""Entries by DN; sorted values by attribute, with names of attributes in lower case."""

OF_A_SERVER = frozenset(
    "entrycsn modifiersname modifytimestamp contextcsn auditcontext entrydn subschemasubentry".split()
    + ["member", "memberof"]
)
"""What each server sets itself, also the members of groups, which follow from their definitions, or sets anew
when replication resolves a conflict."""
OF_A_RUN = OF_A_SERVER | frozenset("entryuuid createtimestamp creatorsname".split())
"""What differs between two runs of the same nights."""
ACKNOWLEDGED = ("applied", "unchanged")
BEGINNING = 6
"""The number of hexadecimal digits of each digest that the intent of a new entry has."""


# ---- directories


def directory(uri: str, base: str) -> Entries:
    """All entries below `base` as root sees them: every attribute, also passwords and operational ones."""
    command = [
        "ldapsearch",
        "-Q",
        "-LLL",
        "-o",
        "ldif-wrap=no",
        "-Y",
        "EXTERNAL",
        "-H",
        uri,
        "-b",
        base,
        "*",
        "+",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return parsed(done.stdout)


def parsed(ldif: bytes) -> Entries:
    """The entries of an LDIF whose lines are not folded."""
    entries: dict[str, dict[str, list[bytes]]] = {}
    for block in ldif.split(b"\n\n"):
        entry: dict[str, list[bytes]] = {}
        for line in block.splitlines():
            if line.startswith(b"#"):
                continue
            name, _, rest = line.partition(b":")
            value = base64.b64decode(rest[1:]) if rest.startswith(b":") else rest.removeprefix(b" ")
            entry.setdefault(name.decode().lower(), []).append(value)
        if entry:
            (dn,) = entry.pop("dn")
            entries[dn.decode()] = {name: sorted(values) for name, values in entry.items()}
    return entries


def differences(one: Entries, other: Entries, ignored: Collection[str] = OF_A_SERVER) -> list[str]:
    """Each entry and each attribute in which the two differ. Values are not shown: some are secrets."""
    findings = []
    for dn in sorted({*one, *other}):
        if dn not in one or dn not in other:
            findings.append(f"{dn}: only in the {'second' if dn not in one else 'first'}")
            continue
        for name in sorted({*one[dn], *other[dn]} - set(ignored)):
            ours, theirs = one[dn].get(name, ()), other[dn].get(name, ())
            if list(ours) != list(theirs):
                findings.append(f"{dn}: {name}: {len(ours)} and {len(theirs)} values, not the same")
    return findings


_OF_THE_RUN = ("run", "plan", "census", "server", "csns")


def of_nights(entries: Entries) -> Entries:
    """The entries that are the same after two runs of the same nights: all except the records of runs and
    the lock."""
    remaining: dict[str, Mapping[str, Sequence[bytes]]] = {}
    for dn, entry in entries.items():
        if ",ou=runs,ou=piactl," in dn or dn.startswith("cn=lock,ou=piactl,"):
            continue
        if dn.startswith("cn=state,ou=piactl,"):
            record = json.loads(entry["piactldata"][0])
            own = {key: value for key, value in record.items() if key not in _OF_THE_RUN}
            entry = {**entry, "piactldata": [json.dumps(own, sort_keys=True).encode()]}
        remaining[dn] = entry
    return remaining


def doubled(
    entries: Entries, attributes: Iterable[str] = ("supannempid", "piactlidentifier", "uid")
) -> list[str]:
    """Values of attributes for one person or account that two entries have; second passwords."""
    findings = []
    for name in attributes:
        owners: dict[bytes, str] = {}
        for dn, entry in entries.items():
            for value in entry.get(name, ()):
                if owners.setdefault(value, dn) != dn:
                    findings.append(f"{dn}: {name}: the same value as {owners[value]}")
    findings += [
        f"{dn}: {len(entry['userpassword'])} passwords"
        for dn, entry in entries.items()
        if len(entry.get("userpassword", ())) > 1
    ]
    return findings


# ---- journals


def lines(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_bytes().splitlines()]


def chain_faults(journal: Path) -> list[str]:
    """Lines whose number, hash or predecessor breaks the chain."""
    faults = []
    previous = "0" * 64
    for number, line in enumerate(lines(journal), 1):
        own = line.pop("hash")
        text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        if (line["seq"], line["prev"]) != (number, previous):
            faults.append(f"line {number}: does not follow the one before it")
        if hashlib.sha256(text.encode()).hexdigest() != own:
            faults.append(f"line {number}: its hash is not that of its text")
        previous = str(own)
    return faults


def outcome_faults(journal: Path) -> list[str]:
    """Intents that have no outcome or several, and outcomes without an intent."""
    verdicts: dict[int, list[str]] = {}
    faults = []
    for line in lines(journal):
        if line["type"] == "intent":
            verdicts[line["seq"]] = []
        elif line["type"] in ("outcome", "resolved"):
            if line["intent"] in verdicts:
                verdicts[line["intent"]].append(line["outcome"])
            else:
                faults.append(f"line {line['seq']}: an outcome of no intent")
    return faults + [
        f"intent {number}: {len(outcomes)} outcomes {outcomes}"
        for number, outcomes in verdicts.items()
        if len(outcomes) != 1
    ]


def lost_writes(journal: Path, keys: Path, entries: Entries, since: int = 0) -> list[str]:
    """What the directory lacks of the writes in the journal: entries, values, and removals of values.

    Only writes after line `since` count, in the order of the journal: a later one may undo an earlier one.
    """
    key_of = dict(line.split() for line in keys.read_text().splitlines() if line.strip())
    expected: dict[tuple[str, str, str], bool] = {}
    gone: dict[str, bool] = {}
    for line in acknowledged(journal, since):
        dn = str(line["dn"])
        gone[dn] = line["op"] == "delete"
        for name, found in line["attributes"].items():
            both = found if isinstance(found, dict) else {"added": found, "removed": []}
            for side, written in (("removed", False), ("added", True)):
                expected |= {(dn, name.lower(), digest): written for digest in both[side]}
                # the values of a new entry, of which its intent has only the beginnings of digests
                begun = [
                    (dn, name.lower(), digest[: digest.find("}") + 1 + BEGINNING]) for digest in both[side]
                ]
                expected |= dict.fromkeys((value for value in begun if value in expected), written)
    found = [
        f"{dn}: {'still there' if away else 'not there'}"
        for dn, away in gone.items()
        if (dn in entries) == away
    ]
    for (dn, name, digest), written in expected.items():
        if dn not in entries or gone[dn]:
            continue
        values = entries[dn].get(name, ())
        current = _digests(dn, name, values, key_of)
        present = (
            bool(values)
            if digest == "{secret}"
            else any(candidate.startswith(digest) for candidate in current)
        )
        if present != written:
            found.append(
                f"{dn}: {name}: a value {'that was written is lost' if written else 'removed is back'}"
            )
    return found


def acknowledged(journal: Path, since: int) -> list[dict[str, Any]]:
    """The intents whose outcome says that the write was made, in order."""
    intents: dict[int, dict[str, Any]] = {}
    made = set()
    for line in lines(journal):
        if line["type"] == "intent" and line["seq"] > since:
            intents[line["seq"]] = {**line, **_tagged(line)}
        elif line["type"] in ("outcome", "resolved") and line["outcome"] in ACKNOWLEDGED:
            made.add(line["intent"])
    return [intent for number, intent in intents.items() if number in made]


def _tagged(line: Mapping[str, Any]) -> dict[str, Any]:
    """The beginnings of digests in the intent of a new entry, by attribute, each with the id of its key."""
    if "key" not in line:
        return {}
    return {"attributes": {name: tags(text, line["key"]) for name, text in line["attributes"].items()}}


def tags(text: str, key: str) -> list[str]:
    return [tag if tag == "{secret}" else "{" + key + "}" + tag for tag in text.split(" ")]


def _digests(dn: str, name: str, values: Sequence[bytes], keys: Mapping[str, str]) -> set[str]:
    """The HMAC-SHA-256 of purpose, entry, attribute and value under each key."""
    return {
        "{" + key + "}" + hmac.digest(bytes.fromhex(secret), _text(dn, name, value), "sha256").hex()
        for value in values
        for key, secret in keys.items()
    }


def _text(dn: str, name: str, value: bytes) -> bytes:
    return f"journal\0{dn.lower()}\0{name.lower()}\0{value.decode('latin-1')}".encode()
