"""Static groups list the members that dynamic ones of the same definition have."""

from __future__ import annotations

from random import Random

import ldap3

from piactl.sandbox.slapd_configuration_and_folder import GROUPS

from .academy import Academy, prepared
from .feeds import MARESCHAL, MICHELIS, THUILLIER, crowd
from .killed import killed_at_calls_of, killed_by
from .test_groups import CLAIRE, DAY, HUGO, NEXT, Answers, found, grouped, lives, said_by_accounts, short
from .test_undo import fates, undo

LATER = "2026-09-12"
LOCAL = {"DIR": "direction", "ENS": "enseignant"}
STATIC, DYNAMIC = "(objectClass=groupOfNames)", "(objectClass=groupOfURLs)"


@prepared
def static(academy: Academy) -> Academy:
    """An academy with three schools and few groups; each is static and has a dynamic twin made by root."""
    grouped(academy)
    academy.allow_up_to(1000)
    academy.edit(
        "policy.yaml", "groups:\n  services: all", "groups:\n  form: static\n  services: [iprof, siecle]"
    )
    academy.edit("policy.yaml", "[siecle, direction]", f"[{', '.join(LOCAL.values())}]")
    register = academy.sandbox.folder / "establishments.csv"
    header, *schools = register.read_text(encoding="utf-8").splitlines()
    few = [school for school in schools if school.startswith((THUILLIER, MICHELIS, MARESCHAL))]
    register.write_text("\n".join([header, *few, ""]), encoding="utf-8")
    return academy


def members(academy: Academy, query: str) -> Answers:
    with academy.sandbox.root() as root:
        answer = found(root, GROUPS, query, "member")
    return {
        name.removeprefix("twin-"): uids - {short(academy.sandbox.state)} for name, uids in answer.items()
    }


def add_twins(academy: Academy) -> None:
    with academy.sandbox.root() as root:
        root.search(GROUPS, STATIC, attributes=["labeledURI"])
        urls = {short(entry.entry_dn): str(entry["labeledURI"]) for entry in root.entries}
        for name, url in urls.items():
            root.add(f"cn=twin-{name},{GROUPS}", ["groupOfURLs"], {"memberURL": url})


def as_the_twins(academy: Academy) -> Answers:
    """Checks that static groups have the members of their dynamic twins, and those that the accounts give."""
    answer = members(academy, STATIC)
    assert answer == members(academy, DYNAMIC)
    by_accounts = said_by_accounts(academy, LOCAL)
    assert {name: uids for name, uids in answer.items() if uids} == {
        name: uids for name, uids in by_accounts.items() if name in answer
    }
    return answer


def test_random_lives_have_the_same_members_in_both_forms(static: Academy) -> None:
    random = Random(7)
    static.twice("2026-09-04", static.feed(*lives(random, 12), day="2026-09-04"))
    add_twins(static)
    answer = as_the_twins(static)
    local = {f"{uai}_{profile}" for uai in (THUILLIER, MICHELIS, MARESCHAL) for profile in LOCAL.values()}
    assert {*answer} == local | {
        "service:iprof",
        "service:siecle",
        "tous-enseignants",
        "direction-iprof",
    }
    assert len({uid for name in local for uid in answer[name]}) > 4
    for day in ("2026-09-15", "2026-09-25"):
        ran = static.run("nightly", static.feed(*lives(random, 12), day=day), "--as-of", day)
        assert ran.code in (0, 4, 6), ran.err  # guards and limits may stop so small a feed
        as_the_twins(static)


def test_members_follow_each_command_and_what_others_change_is_put_back(static: Academy) -> None:
    static.night(DAY, static.feed(CLAIRE, HUGO, day=DAY))
    add_twins(static)
    checks = {finding["id"]: finding for finding in static.run("doctor", "-o", "json").json}
    assert checks["D64"]["result"] == "ok"
    assert as_the_twins(static)["service:iprof"] == {"claire.dubreuil", "hugo.caron"}
    deny = ("exception", "deny", "claire.dubreuil", "--service", "iprof", "--until", "2026-10-01")
    assert static.run(*deny, "--as-of", DAY, "--reason", "essai").code == 0
    assert as_the_twins(static)["service:iprof"] == {"hugo.caron"}
    with static.sandbox.root() as root:
        claire = [static.dn("claire.dubreuil")]
        root.modify(f"cn=service:iprof,{GROUPS}", {"member": [(ldap3.MODIFY_ADD, claire)]})
    static.night(NEXT)
    assert as_the_twins(static)["service:iprof"] == {"hugo.caron"}
    written = static.run("journal", "show", "--run", "last", "-o", "json").json
    assert [(change["uid"], change["attributes"]) for change in written if "group" in change["kinds"]] == [
        ("cn=service:iprof", ["member"])
    ]


def test_a_group_that_most_members_would_leave_needs_approval(static: Academy) -> None:
    people = crowd(12, debut="2025-09-01")
    static.night(DAY, static.feed(*people, HUGO, day=DAY))
    add_twins(static)
    assert len(as_the_twins(static)["service:iprof"]) == 13
    static.edit(
        "policy.yaml", "documentaliste, enseignant, cpe,\n               inspection", "cpe, inspection"
    )
    ran = static.run("nightly", "--as-of", NEXT)
    assert ran.code == 5
    assert (
        "cn=service:iprof: conflict: left as it is: 12 of 14 members would leave at once" in ran.err + ran.out
    )
    assert "--allow group=12" in ran.err
    assert len(members(static, STATIC)["service:iprof"]) == 13
    plan = static.folder / "plan.json"
    assert static.run("plan", "--as-of", LATER, "--out", plan).code == 0
    # if it is killed before the members are written, no new approval is needed
    apply = ("apply", str(plan), "--allow", "group=12", "--reason", "essai")
    killer = killed_at_calls_of("executor.member_writes")
    killed_by(killer, static, "1", "--config", str(static.sandbox.config), *apply)
    assert len(members(static, STATIC)["service:iprof"]) == 13
    rest = static.night(LATER)
    assert "which was approved and interrupted: group=12" in rest.err
    assert as_the_twins(static)["service:iprof"] == {"hugo.caron"}


def test_another_form_is_made_in_two_nights(static: Academy) -> None:
    static.night(DAY, static.feed(CLAIRE, HUGO, day=DAY))
    static.edit("policy.yaml", "form: static", "form: dynamic")
    static.night(NEXT)
    assert members(static, STATIC) == {}
    assert set(fates(undo(static, day=NEXT)).values()) == {"reversed"}
    assert members(static, STATIC)["service:siecle"] == {"hugo.caron"}
    static.night(NEXT)
    static.night(LATER)
    assert members(static, DYNAMIC)["service:siecle"] == {"hugo.caron"}
