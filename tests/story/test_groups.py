"""Groups of the policy: the server computes their members, a plan changes their definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

import ldap3
import pytest

from tests.outside import CONSUMERS, GROUPS, POLICIES

from .academy import Academy, prepared
from .feeds import MARESCHAL, MICHELIS, THUILLIER, row
from .test_undo import fates, undo

DAY, NEXT = "2026-09-10", "2026-09-11"
PASSWORD = "a long word of an application"
APPLICATION = f"cn=portail,{CONSUMERS}"
SECTION = """
groups:
  services: all
  per_establishment: [siecle, direction]
  extra:
    tous-enseignants: {label: Les enseignants, profile: [enseignant, enseignant1d]}
    direction-iprof: {profile: [direction], service: [iprof]}
"""
URN = "urn:mace:ac-amiens.fr:service:"
CLAIRE = row(debut="2025-09-01")
HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Caron", fonction="DIR", debut="2025-09-01")
Answers = dict[str, set[str]]
HEADS = {"DIR": "direction"}


def grouped(academy: Academy) -> Academy:
    """An academy whose policy has groups, and an application that reads them."""
    academy.edit("piactl.yaml", "  identities:", f"  groups: {GROUPS}\n  identities:")
    policy = academy.sandbox.folder / "policy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + SECTION, encoding="utf-8")
    # half of the establishments are enough: each has two groups
    register = academy.sandbox.folder / "establishments.csv"
    lines = register.read_text(encoding="utf-8").splitlines(keepends=True)
    register.write_text("".join(lines[:81]), encoding="utf-8")
    entry = {"objectClass": ["applicationProcess", "simpleSecurityObject"], "userPassword": PASSWORD}
    academy.sandbox.add(APPLICATION, {**entry, "pwdPolicySubentry": f"cn=services,{POLICIES}"})
    return academy


with_groups = prepared(grouped)


@contextmanager
def as_application(academy: Academy) -> Iterator[ldap3.Connection]:
    with academy.sandbox.bind(APPLICATION, PASSWORD) as connection:
        yield connection


def found(connection: ldap3.Connection, base: str, query: str, attribute: str) -> Answers:
    """The values of an attribute by the first part of the entry's DN; DNs among them are shortened too."""
    connection.search(base, query, attributes=[attribute])
    entries = [entry for entry in connection.response if "dn" in entry]
    return {
        short(e["dn"]): {short(v.decode()) for v in e["raw_attributes"].get(attribute, [])} for e in entries
    }


def short(dn: str) -> str:
    return dn.split(",", 1)[0].partition("=")[2] or dn


def members(academy: Academy) -> Answers:
    """The members of each group, as the application reads them; groups without any are left out."""
    with as_application(academy) as connection:
        answer = found(connection, GROUPS, "(objectClass=groupOfURLs)", "member")
    return {name: uids for name, uids in answer.items() if uids}


def said_by_accounts(academy: Academy, local: Mapping[str, str] = HEADS) -> Answers:
    """The members of each group, computed from the accounts themselves; `local` has the profiles with a group
    for each establishment, with their functions."""
    answer: Answers = {}
    for entry in academy.accounts().values():
        uid, state = entry["uid"][0].decode(), entry["piactlState"][0].decode()
        profiles = {value.decode() for value in entry.get("piactlProfile", [])}
        rights = {value.decode().removeprefix(URN) for value in entry.get("eduPersonEntitlement", [])}
        names = {f"service:{right.partition(':')[0]}" for right in rights}
        names |= local_profiles(entry, local) if state in ("active", "on-leave") else set()
        names |= {f"service:{right}" for right in rights if right.startswith("siecle:")}
        in_post = state in ("active", "on-leave")
        names |= {"tous-enseignants"} if in_post and profiles & {"enseignant", "enseignant1d"} else set()
        names |= {"direction-iprof"} if in_post and "direction" in profiles and "iprof" in rights else set()
        for name in names:
            answer.setdefault(name, set()).add(uid)
    return answer


def local_profiles(entry: dict[str, list[bytes]], local: Mapping[str, str]) -> set[str]:
    """The establishments of each such profile, by posts: a head who teaches elsewhere is no head there."""
    posts = (post.decode().split("$")[:2] for post in entry["piactlAssignment"])
    names = {f"{uai}_{local[function]}" for uai, function in posts if function in local}
    return {name for name in names if name.encode() in entry["piactlProfile"]}


def is_consistent(academy: Academy) -> Answers:
    """Checks that the server answers what the accounts say: members, memberOf, and searches by either."""
    expected = said_by_accounts(academy)
    assert members(academy) == expected
    of_accounts: Answers = {}
    for name, uids in expected.items():
        for uid in uids:
            of_accounts.setdefault(uid, set()).add(name)
    accounts = academy.sandbox.accounts
    with as_application(academy) as connection:
        answer = found(connection, accounts, "(objectClass=piactlAccount)", "memberOf")
        assert {uid: names for uid, names in answer.items() if names} == of_accounts
        for name, uids in expected.items():
            by_group = found(connection, accounts, f"(memberOf=cn={name},{GROUPS})", "uid")
            assert by_group.keys() == uids
        for uid, names in of_accounts.items():
            by_member = found(connection, GROUPS, f"(member={academy.dn(uid)})", "cn")
            assert by_member.keys() == names
            # as `Require ldap-group` of Apache asks
            assert connection.compare(f"cn={min(names)},{GROUPS}", "member", academy.dn(uid))
    return expected


def test_a_first_night_defines_the_groups_and_the_second_leaves_them(grouped: Academy) -> None:
    feed = grouped.feed(CLAIRE, HUGO, day=DAY)
    plan = grouped.plan(feed, "--as-of", DAY)
    made = [change for change in plan["changes"] if change["kind"] == "group"]
    assert len(made) == plan["summary"]["group"] > 160
    iprof = next(change for change in made if change["uid"] == "cn=service:iprof")
    assert iprof["before"] is None
    query = f"(&(objectClass=piactlAccount)(eduPersonEntitlement={URN}iprof))"
    assert iprof["after"] == {"members": query, "label": "I-Prof"}
    assert re.fullmatch(r"policy\.yaml:\d+", iprof["rule"])
    grouped.twice(DAY, feed)
    answer = is_consistent(grouped)
    assert answer["service:siecle"] == answer["service:siecle:0800009A"] == {"hugo.caron"}
    assert answer["tous-enseignants"] == {"claire.dubreuil"}
    assert answer["direction-iprof"] == {"hugo.caron"}


def test_night_page_and_events_do_not_count_groups_as_accounts(grouped: Academy) -> None:
    """A group of an establishment is not counted as an account, and causes no event of one."""
    page = grouped.folder / "night.html"
    grouped.run("nightly", grouped.feed(CLAIRE, HUGO, day=DAY), "--as-of", DAY, "--html", page)
    text = re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))
    assert "groups defined" in text
    assert text.split("By establishment")[1].split("The coming days")[0].count("group") == 0
    events = grouped.run("events", "-o", "ndjson").out
    assert events.count('"kind": "create"') == 2
    assert "group" not in events


@prepared
def defined(academy: Academy) -> Academy:
    """The same after a first night."""
    grouped(academy).night(DAY, academy.feed(CLAIRE, HUGO, day=DAY))
    return academy


def test_nothing_of_a_group_is_written_when_people_move(defined: Academy) -> None:
    moved = (row(debut="2025-09-01", fin=DAY), HUGO.replace(THUILLIER, MICHELIS))
    ran = defined.night(NEXT, defined.feed(*moved, day=NEXT))
    assert "group" not in ran.json["summary"]
    is_consistent(defined)


def lives(random: Random, people: int) -> list[str]:
    """Random posts of people: some have two, some are over, on leave, or in the future."""
    rows = []
    for number in range(people):
        for place in random.sample([THUILLIER, MICHELIS, MARESCHAL], random.choice((1, 1, 2))):
            rows.append(
                row(
                    matricule=str(2000 + number),
                    prenom="Louise",
                    nom_famille=f"Vauban{'abcdefghijklmnop'[number]}",
                    uai=place,
                    fonction=random.choice(("ENS", "ENS", "DIR", "EDU", "AED", "ADM")),
                    position=random.choice(("", "", "", "disponibilite", "verrouille", "detachement")),
                    debut=random.choice(("2025-09-01", "2026-09-01", "2026-09-20")),
                    fin=random.choice(("", "", "2026-09-05", "2026-09-14", "2027-08-31")),
                )
            )
    return rows


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in (2, 3))])
def test_random_lives_have_the_groups_that_their_accounts_say(grouped: Academy, seed: int) -> None:
    random = Random(seed)
    grouped.night("2026-09-04", grouped.feed(*lives(random, 12), day="2026-09-04"))
    is_consistent(grouped)
    for day in ("2026-09-15", "2026-09-25"):
        ran = grouped.run("nightly", grouped.feed(*lives(random, 12), day=day), "--as-of", day)
        assert ran.code in (0, 4, 6), ran.err  # guards and limits may stop so small a feed
        is_consistent(grouped)


def test_a_lock_keeps_members_and_a_denied_right_removes_them(defined: Academy) -> None:
    """Members are the people with the right on their entry, whether or not they can log in."""
    lock = ("account", "lock", "claire.dubreuil", "--until", "2026-10-01")
    assert defined.run(*lock, "--as-of", DAY, "--reason", "essai").code == 0
    assert "claire.dubreuil" in is_consistent(defined)["service:iprof"]
    deny = ("exception", "deny", "claire.dubreuil", "--service", "iprof", "--until", "2026-10-01")
    assert defined.run(*deny, "--as-of", DAY, "--reason", "essai").code == 0
    answer = is_consistent(defined)
    assert "claire.dubreuil" not in answer["service:iprof"]


def definition(academy: Academy, name: str) -> dict[str, list[bytes]] | None:
    return academy.sandbox.entry(f"cn={name},{GROUPS}")


def redefine(academy: Academy, name: str, **values: list[str]) -> None:
    with academy.sandbox.root() as root:
        changes = {attribute: [(ldap3.MODIFY_REPLACE, new)] for attribute, new in values.items()}
        root.modify(f"cn={name},{GROUPS}", changes)


def test_what_another_program_makes_of_a_definition_is_put_back(defined: Academy) -> None:
    before = definition(defined, "service:iprof")
    assert before is not None
    redefine(defined, "service:iprof", memberURL=["ldap:///o=gouv,c=fr??sub?(uid=*)"], description=["X"])
    plan = defined.plan("--as-of", NEXT)
    (change,) = plan["changes"]
    assert (change["kind"], change["reason"]) == ("group", "another program changed it")
    assert change["before"] == {"members": "(uid=*)", "label": "X"}
    defined.night(NEXT)
    after = definition(defined, "service:iprof")
    assert after is not None
    assert [after[name] for name in ("memberURL", "description")] == [
        before[name] for name in ("memberURL", "description")
    ]


def test_a_group_of_another_program_stays(grouped: Academy) -> None:
    theirs = {"objectClass": "groupOfNames", "member": "cn=x", "description": "theirs"}
    for name in ("service:iprof", "maison"):
        grouped.sandbox.add(f"cn={name},{GROUPS}", theirs)
    ran = grouped.night(DAY, grouped.feed(CLAIRE, HUGO, day=DAY))
    assert ran.json["summary"]["group"] > 100
    text = grouped.run("plan", "--as-of", DAY).out
    assert "WARNING: cn=service:iprof is not kept: another program has a group of this name" in text
    for name in ("service:iprof", "maison"):
        entry = definition(grouped, name)
        assert entry is not None
        assert entry["description"] == [b"theirs"]


def test_a_group_that_lists_its_members_is_named_and_left(grouped: Academy) -> None:
    """Earlier versions kept the members of such groups; the upgrade replaces them."""
    classes, dn = ["groupOfNames", "labeledURIObject"], f"cn=service:iprof,{GROUPS}"
    values = {"labeledURI": "ldap:///", "owner": grouped.sandbox.state, "member": grouped.sandbox.state}
    grouped.sandbox.add(dn, {"objectClass": classes, **values})
    before = grouped.sandbox.entry(dn)
    feed = grouped.feed(CLAIRE, HUGO, day=DAY)
    words = "WARNING: cn=service:iprof lists its members, and nobody keeps them: piactl doctor"
    assert words in grouped.plan(feed, "--as-of", DAY)["remarks"]
    grouped.night(DAY, feed)
    assert grouped.sandbox.entry(dn) == before
    assert members(grouped)["service:siecle"] == {"hugo.caron"}
    grouped.quiet_night(NEXT)


def test_undo_restores_a_group_that_was_removed_from_the_policy(grouped: Academy) -> None:
    feed = grouped.feed(CLAIRE, HUGO, day=DAY)
    grouped.night(DAY, feed)
    grouped.edit("policy.yaml", "    direction-iprof: {profile: [direction], service: [iprof]}\n", "")
    grouped.edit("policy.yaml", "label: Les enseignants,", "label: Enseignants,")
    text = grouped.run("plan", "--as-of", NEXT, "--all").out
    assert "cn=direction-iprof: removed, (&(objectClass=piactlAccount)" in text
    assert "Les enseignants -> Enseignants" in text
    grouped.night(NEXT)
    assert definition(grouped, "direction-iprof") is None
    result = undo(grouped, day=NEXT)
    assert fates(result) == {"cn=direction-iprof": "reversed", "cn=tous-enseignants": "reversed"}
    again = definition(grouped, "direction-iprof")
    assert again is not None
    assert b"piactlProfile=direction" in again["memberURL"][0]
    again = definition(grouped, "tous-enseignants")
    assert again is not None
    assert again["description"] == [b"Les enseignants"]
    ran = grouped.night(NEXT)
    assert ran.json["summary"] == {"group": 2}


def test_the_undo_of_a_first_night_takes_its_groups_away(defined: Academy) -> None:
    redefine(defined, "service:iprof", description=["changed since"])
    fate = fates(undo(defined, "--allow", "group=174", day=DAY, code=5))
    assert fate["cn=service:iprof"] == "kept"
    assert fate["cn=tous-enseignants"] == "reversed"
    assert definition(defined, "tous-enseignants") is None


def test_a_guard_stops_a_policy_that_takes_many_groups_away(defined: Academy) -> None:
    defined.edit("policy.yaml", "  per_establishment: [siecle, direction]\n", "")
    ran = defined.run("nightly", "--as-of", NEXT)
    assert ran.code == 4
    assert "REFUSED by the guard group: " in ran.err + ran.out
    assert "groups change or go; 10 are allowed" in ran.err + ran.out
    assert definition(defined, "service:siecle:0800009A") is not None


def test_a_server_without_the_base_keeps_no_groups_and_the_night_goes_on(grouped: Academy) -> None:
    with grouped.sandbox.root() as root:
        root.delete(GROUPS)
    ran = grouped.night(DAY, grouped.feed(CLAIRE, HUGO, day=DAY))
    assert "group" not in ran.json["summary"]
    text = grouped.run("plan", "--as-of", DAY).out
    assert f"WARNING: no groups are kept: the server lacks {GROUPS}" in text


def kinds_of(result: Any) -> set[str]:
    return {change["kind"] for change in result["changes"]}


def test_the_first_plan_has_groups_and_accounts(grouped: Academy) -> None:
    plan = grouped.plan(grouped.feed(CLAIRE, HUGO, day=DAY), "--as-of", DAY)
    assert {"create", "group"} <= kinds_of(plan)
