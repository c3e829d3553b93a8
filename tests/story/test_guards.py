"""Guards: if one is broken, nothing is written; with an approval of the exact number the plan is applied."""

from __future__ import annotations

import re
import shlex
from typing import Any

from .academy import Academy, Ran, prepared
from .feeds import crowd, row
from .killed import killed_at_calls_of, killed_by

GUARD = "  deactivate: {floor: 15, share: 0.01, per_establishment: {max: 5, share: 0.2}}\n  archive:"


def ended(rows: list[str], day: str) -> list[str]:
    return [line.removesuffix(";") + f";{day}" for line in rows]


def limited(academy: Academy, overall: str, per_establishment: str = "{max: 1000, share: 0.99}") -> None:
    """Ordinary guards of deactivation; graces are short so that a few nights are enough."""
    limits = overall.strip("{}")
    academy.edit(
        "policy.yaml",
        GUARD,
        f"  deactivate: {{{limits}, per_establishment: {per_establishment}}}\n  archive:",
    )


def loaded(academy: Academy, people: int) -> list[str]:
    rows = crowd(people, debut="2026-01-01")
    academy.night("2026-03-01", academy.feed(*rows, day="2026-03-01"))
    assert len(academy.accounts()) == people
    return rows


def told_end(academy: Academy, rows: list[str], leavers: int) -> None:
    """HR ends `leavers` posts on 1 March; the graces of 30 days end on 31 March."""
    rows = [*ended(rows[:leavers], "2026-03-01"), *rows[leavers:]]
    academy.night("2026-03-02", academy.feed(*rows, day="2026-03-02"))


@prepared
def refused(academy: Academy) -> Any:
    """A night without a feed is refused; `left` is what it said."""
    limited(academy, "{max: 2, share: 0.01}")
    told_end(academy, loaded(academy, 20), 5)
    with academy.nothing_written():
        return academy.night("2026-04-01", code=4)


def states(academy: Academy) -> list[str]:
    return sorted(entry["piactlState"][0].decode() for entry in academy.accounts().values())


def test_the_refused_plan_is_kept_and_the_printed_command_applies_it(refused: Academy) -> None:
    ran = refused.left
    command = re.search(r"To apply it: (.+)$", ran.err, re.MULTILINE)
    assert command is not None
    words = shlex.split(command[1].replace('"..."', '"fin des contrats, vu avec la DRH"'))
    assert words[:2] == ["piactl", "apply"]
    # as of that day, like a night; the command has no date, so the date of the plan must count
    done = refused.run(*words[1:], "-o", "json")
    assert done.code == 0, done.err
    assert states(refused) == ["active"] * 15 + ["deactivated"] * 5
    shown = refused.run("runs", "show", "last", "-o", "json").json
    assert "fin des contrats, vu avec la DRH" in str(shown)
    refused.quiet_night("2026-04-01")


def test_a_wrong_number_or_no_reason_approves_nothing(refused: Academy) -> None:
    file = refused.left.plan_file
    with refused.nothing_written():
        for allow in ("deactivate=4", "deactivate=6", "deactivate=500", "archive=5"):
            ran = refused.run("apply", file, "--allow", allow, "--reason", "vu")
            assert ran.code == 4, ran.err
            assert "deactivate" in ran.err
        ran = refused.run("apply", file, "--allow", "deactivate=5")
    assert ran.code == 2
    assert "--reason" in ran.err
    plan = refused.plan("--as-of", "2026-04-01", code=4)
    assert [(r["kind"], r["found"], r["total"]) for r in plan["refusals"]] == [("deactivate", 5, 5)]


def test_a_first_load_is_not_guarded_and_a_second_one_is(academy: Academy) -> None:
    academy.edit(
        "policy.yaml", "  create:     {floor: 20, share: 0.02}", "  create:     {max: 5, share: 0.02}"
    )
    rows = crowd(30, debut="2026-01-01")
    academy.night("2026-03-01", academy.feed(*rows[:20], day="2026-03-01"))
    with academy.nothing_written():
        ran = academy.night("2026-03-02", academy.feed(*rows, day="2026-03-02"), code=4)
    assert "create: 10 of 20" in ran.err


def test_protected_accounts(academy: Academy) -> None:
    """Protected by the policy's list or by the mark on the entry: no import touches them, others go on."""
    people = {
        "1001": row(prenom="Admin", nom_famille="Secours", debut="2026-01-01"),
        "1002": row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", debut="2026-01-01"),
        "1003": row(matricule="1003", prenom="Nour", nom_famille="Caron", debut="2026-01-01"),
    }
    academy.night("2026-03-01", academy.feed(*people.values(), day="2026-03-01"))
    academy.change("hugo.vasseur", piactlProtected=["TRUE"])
    before = academy.stamps()
    rows = ended(list(people.values()), "2026-03-01")
    ran = academy.night("2026-03-02", academy.feed(*rows, day="2026-03-02"))
    assert ran.code == 0
    after = academy.stamps()
    moved = {dn for dn, stamp in after.items() if before[dn] != stamp}
    assert moved == {academy.dn("nour.caron")}
    plan = academy.plan("--as-of", "2026-03-02")
    academy.nights("2026-12-01")
    for uid in ("admin.secours", "hugo.vasseur"):
        assert academy.stamps()[academy.dn(uid)] == before[academy.dn(uid)]
    assert academy.values("nour.caron", "piactlState") == ["archived"]
    assert plan["changes"] == []


def test_a_service_for_everybody_is_stopped_and_approved(academy: Academy) -> None:
    """An administrator who adds it to the policy makes as many changes as a wrong file would."""
    loaded(academy, 30)
    academy.edit(
        "policy.yaml",
        "  # business applications, by function",
        "  stylo: {label: Stylo, profiles: all}",
    )
    with academy.nothing_written():
        ran = academy.night("2026-03-02", code=4)
    refused = "REFUSED by the guard grant: 30 of 30 accounts, 100.0% (all accounts); 10 are allowed"
    assert refused in ran.err
    assert "guard service_growth: 30 accounts more than 0 (service stylo); 10 are allowed" in ran.err
    assert "such as " in ran.err
    command = re.search(r"To apply it: (.+)$", ran.err, re.MULTILINE)
    assert command is not None
    assert "--allow grant=30 --allow service_growth=30" in command[1]
    words = shlex.split(command[1].replace('"..."', '"Stylo opens"'))
    assert academy.run(*words[1:]).code == 0
    assert (
        sum(b"service:stylo" in b" ".join(e["eduPersonEntitlement"]) for e in academy.accounts().values())
        == 30
    )


def test_a_new_digest_key_stops_no_night(academy: Academy) -> None:
    rows = loaded(academy, 40)
    assert academy.run("key", "add", "--reason", "yearly").code == 0
    ran = academy.night("2026-03-02", academy.feed(*rows, day="2026-03-02"))
    assert ran.json["summary"] == {"update": 40}


def test_losses_of_several_nights_count_together(academy: Academy) -> None:
    """Three people leave per night: no night exceeds its limit. What was approved no longer counts, nor does
    what was undone."""
    academy.edit(
        "policy.yaml", "revoke_window:     {floor: 50, share: 0.06}", "revoke_window: {max: 5, share: 0.1}"
    )
    rows = loaded(academy, 30)

    def left(night: int) -> list[str]:
        """The people whose posts ended on the day of that night."""
        gone = [line for n in range(night) for line in ended(rows[3 * n : 3 * n + 3], f"2026-03-0{n + 2}")]
        return [*gone, *rows[3 * night :]]

    academy.night("2026-03-03", academy.feed(*left(1), day="2026-03-03"))
    feed = academy.feed(*left(2), day="2026-03-04")
    with academy.nothing_written():
        ran = academy.night("2026-03-04", feed, code=4)
    refused = "REFUSED by the guard revoke_window: 6 of 30 accounts, 20.0% (all accounts, 7 days)"
    assert f"{refused}; 5 are allowed" in ran.err
    words = ["apply", ran.plan_file, "--reason", "départs vus"]
    assert academy.run(*words, "--allow", "revoke_window=5").code == 4
    assert academy.run(*words, "--allow", "revoke_window=6").code == 0
    # the window begins again: three are allowed, and three others after an undo
    academy.night("2026-03-05", academy.feed(*left(3), day="2026-03-05"))
    assert academy.run("undo", "last", "--as-of", "2026-03-05", "--reason", "trop tôt").code == 0
    other = [*left(2)[:-3], *ended(rows[-3:], "2026-03-05")]
    assert academy.night("2026-03-06", academy.feed(*other, day="2026-03-06")).json["summary"]["revoke"] == 3


def test_too_many_people_held_stop_a_night_without_a_feed(academy: Academy) -> None:
    """No feed is wrong here, but the policy no longer knows a position."""
    academy.edit("policy.yaml", "held:       {floor: 25, share: 0.05}", "held: {max: 5, share: 0.1}")
    rows = crowd(30, debut="2026-01-01", position="disponibilite")
    academy.night("2026-03-01", academy.feed(*rows, day="2026-03-01"))
    policy = (academy.sandbox.folder / "policy.yaml").read_text("utf-8")
    (line,) = (line for line in policy.splitlines() if line.lstrip().startswith("disponibilite:"))
    academy.edit("policy.yaml", f"{line}\n", "")
    with academy.nothing_written():
        ran = academy.night("2026-03-02", code=4)
    assert "REFUSED by the guard held: 30 of 30 accounts, 100.0% (all accounts)" in ran.err
    assert "--allow held=30" in ran.err
    words = ["apply", ran.plan_file, "--reason", "la position suit"]
    assert academy.run(*words, "--allow", "held=30").code == 0


# A policy without guards


def without_guards(academy: Academy) -> None:
    path = academy.sandbox.folder / "policy.yaml"
    policy, count = re.subn(
        r"^guards:\n(?:  .*\n)+", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert count == 1
    path.write_text(policy, encoding="utf-8")


def test_a_policy_without_guards_has_the_ordinary_ones_and_says_so(academy: Academy) -> None:
    """A feed that ends 14 of 41 posts on an ordinary day is stopped; in the rentrée many may arrive."""
    without_guards(academy)
    rows = crowd(41, debut="2026-01-01")
    academy.night("2026-09-01", academy.feed(*rows[:35], day="2026-09-01"))
    academy.night("2026-09-02", academy.feed(*rows, day="2026-09-02"))
    feed = academy.feed(*ended(rows[:14], "2026-11-20"), *rows[14:], day="2026-11-25")
    with academy.nothing_written():
        ran = academy.night("2026-11-25", feed, code=4)
    assert "REFUSED by the guard revoke: 14 of 41 accounts" in ran.err
    words = "policy.yaml has no guards of its own"
    remarks = academy.plan(feed, "--as-of", "2026-11-25", code=4)["remarks"]
    assert [remark for remark in remarks if words in remark]
    checks = {row["id"]: row for row in academy.run("doctor", "-o", "json").json}
    assert (checks["D02"]["result"], words in checks["D02"]["found"]) == ("warning", True)
    cases = academy.folder / "cases.yaml"
    cases.write_text(
        'cases:\n  - {case: a, day: "2026-10-01", state: active, '
        'posts: [{fonction: ENS, uai: "0800009A", debut: "2026-09-01"}]}\n',
        encoding="utf-8",
    )
    assert words in academy.run("policy", "test", cases).err


def test_a_policy_with_a_guard_of_its_own_says_nothing(academy: Academy) -> None:
    without_guards(academy)
    guards = "guards: {revoke: {floor: 20, share: 0.5}}\nprotected: [admin"
    academy.edit("policy.yaml", "protected: [admin", guards)
    plan = academy.plan(academy.feed(*crowd(3), day="2026-09-01"), "--as-of", "2026-09-01")
    assert "guards" not in str(plan["remarks"])


# Numbers


def test_terminal_page_and_status_say_the_same_number(academy: Academy) -> None:
    """The limits are those of the accounts before the night, and each growth has its service."""
    academy.edit(
        "policy.yaml", "  revoke:     {floor: 20, share: 0.02}", "  revoke:     {max: 2, share: 0.1}"
    )
    academy.edit(
        "policy.yaml", "  create:     {floor: 20, share: 0.02}", "  create:     {max: 2, share: 0.9}"
    )
    rows = crowd(50, debut="2026-01-01")
    academy.night("2026-11-24", academy.feed(*rows[:30], day="2026-11-24"))
    feed = academy.feed(*ended(rows[:4], "2026-11-20"), *rows[4:], day="2026-11-25")
    page = academy.folder / "night.html"
    ran = academy.run("nightly", feed, "--as-of", "2026-11-25", "--html", page)
    assert ran.code == 4
    revoke = "revoke: 4 of 30 accounts, 13.3% (all accounts); 3 are allowed (10 % of the accounts)"
    growth = "service_growth: 16 accounts more than 30, 53.3% (service annuaire); 10 are allowed"
    assert revoke in ran.err
    assert growth in ran.err
    cells = re.sub(r"<td[^>]*>", "|", page.read_text(encoding="utf-8"))
    assert "|revoke</td>|all accounts</td>|4</td>|3</td>" in cells
    assert "|create</td>|all accounts</td>|20</td>|27</td>" in cells
    assert "|service_growth</td>|service annuaire</td>|16</td>|10</td>" in cells
    why = academy.run("status", "-o", "json").json["refused_plan"]["why"]
    assert "revoke (4, 3 are allowed)" in why
    assert "service_growth (service annuaire: 16, 10 are allowed)" in why
    french = academy.run_in_french("status").out
    assert "retrait (4, permis : 3)" in " ".join(french.split())
    assert "croissance des services (service annuaire : 16, permis : 10)" in " ".join(french.split())


def test_the_number_of_a_growth_that_approves_is_beside_it(academy: Academy) -> None:
    """16 accounts more have the messagerie, but 20 accounts gain a service: --allow names those."""
    rows = crowd(50, debut="2026-01-01")
    academy.night("2026-11-24", academy.feed(*rows[:30], day="2026-11-24"))
    feed = academy.feed(*ended(rows[:4], "2026-10-01"), *rows[4:], day="2026-11-25")
    ran = academy.night("2026-11-25", feed, code=4)
    assert "(service messagerie); 10 are allowed; to approve it: --allow service_growth=20" in ran.err
    approved(academy, ran)


def test_the_printed_numbers_work_after_a_part_of_them_was_given(academy: Academy) -> None:
    rows = crowd(41, debut="2026-01-01")
    academy.night("2026-11-24", academy.feed(*rows[:20], day="2026-11-24"))
    approved(academy, academy.night("2026-11-25", academy.feed(*rows, day="2026-11-25"), code=4))
    words = ["undo", "last", "--as-of", "2026-11-25", "--reason", "erreur"]
    ran = academy.run(*words, "--allow", "deactivate=21", "--allow", "revoke=4")
    assert ran.code == 4
    printed = re.search(r"To go on all the same: piactl --config \S+ (.+)$", ran.err, re.MULTILINE)
    assert printed is not None
    ran = academy.run(*shlex.split(printed[1]))
    assert ran.code == 0, ran.err


# What was lost and comes back


def approved(academy: Academy, ran: Ran) -> None:
    """Applies a refused night with the command that it printed."""
    command = re.search(r"To apply it: (.+)$", ran.err, re.MULTILINE)
    assert command is not None
    done = academy.run(*shlex.split(command[1].replace('"..."', "vu"))[1:], "-o", "json")
    assert done.code == 0, done.err


@prepared
def third_lost(academy: Academy) -> Any:
    """A feed of 25 November ends 14 of 41 posts, and somebody approves it; `left` are the rows before."""
    rows = crowd(41, debut="2026-01-01")
    academy.night("2026-11-24", academy.feed(*rows, day="2026-11-24"))
    wrong = academy.feed(*ended(rows[:14], "2026-11-20"), *rows[14:], day="2026-11-25")
    approved(academy, academy.night("2026-11-25", wrong, code=4))
    assert len(set(services(academy).values())) == 2
    return rows


def services(academy: Academy) -> dict[str, str]:
    return {dn: str(sorted(entry["eduPersonEntitlement"])) for dn, entry in academy.accounts().items()}


def test_an_undo_needs_no_approval_to_give_back_what_the_run_took(third_lost: Academy) -> None:
    ran = third_lost.run("undo", "last", "--as-of", "2026-11-25", "--reason", "fichier tronqué")
    assert ran.code == 0, ran.err
    assert len(set(services(third_lost).values())) == 1


def test_a_corrected_feed_needs_no_approval_to_give_back_what_a_run_took(third_lost: Academy) -> None:
    rows = third_lost.left
    third_lost.night("2026-11-26")
    right = third_lost.feed(*rows, day="2026-12-08")
    remarks = third_lost.plan(right, "--as-of", "2026-12-08")["remarks"]
    assert [remark for remark in remarks if remark.startswith("14 accounts get back what runs")]
    third_lost.twice("2026-12-08", right)
    assert len(set(services(third_lost).values())) == 1


def test_what_was_lost_long_ago_counts_as_growth(third_lost: Academy) -> None:
    rows = third_lost.left
    right = third_lost.feed(*rows, day="2026-12-09")
    with third_lost.nothing_written():
        refusals = third_lost.night("2026-12-09", right, code=4).json["refusals"]
    assert {"service_growth", "grant", "update"} <= {refusal["kind"] for refusal in refusals}


def test_growth_that_nobody_lost_counts_beside_what_comes_back(third_lost: Academy) -> None:
    """The 14 come back, and 14 others become heads of school, which nobody was."""
    rows = third_lost.left
    heads = [line.replace(";ENS;", ";DIR;").replace("2026-01-01", "2026-12-01") for line in rows[14:28]]
    more = third_lost.feed(*rows, *heads, day="2026-12-01")
    refusals = third_lost.night("2026-12-01", more, code=4).json["refusals"]
    assert {refusal["found"] for refusal in refusals} == {14}
    assert {refusal["kind"] for refusal in refusals} >= {
        "grant",
        "profile_growth",
        "service_growth",
        "update",
    }


def test_what_an_undo_took_is_not_given_back_without_an_approval(academy: Academy) -> None:
    """The undo took what a wrong feed had given: the same content in another file is growth again."""
    rows = crowd(41, debut="2026-01-01")
    academy.night("2026-11-24", academy.feed(*rows, day="2026-11-24"))
    heads = [line.replace(";ENS;", ";DIR;").replace("2026-01-01", "2026-11-25") for line in rows[:14]]
    approved(academy, academy.night("2026-11-25", academy.feed(*rows, *heads, day="2026-11-25"), code=4))
    undo = academy.run("undo", "last", "--as-of", "2026-11-25", "--reason", "faux", "--dry-run", "-o", "json")
    allow = {refusal["kind"]: refusal["total"] for refusal in undo.json["refusals"]}
    words = [word for kind, total in allow.items() for word in ("--allow", f"{kind}={total}")]
    ran = academy.run("undo", "last", "--as-of", "2026-11-25", "--reason", "faux", *words)
    assert ran.code == 0, ran.err
    # to undo the undo is to give it again, too
    last = academy.run("runs", "list", "-o", "json").json[0]["run"]
    redone = academy.run("undo", last, "--as-of", "2026-11-25", "--dry-run", "-o", "json")
    assert {"grant", "service_growth"} <= {refusal["kind"] for refusal in redone.json["refusals"]}
    again = academy.feed(*rows, *heads, row(matricule="1999", debut="2026-11-26"), day="2026-11-26")
    refusals = academy.night("2026-11-26", again, code=4).json["refusals"]
    assert {"grant", "service_growth", "profile_growth"} <= {refusal["kind"] for refusal in refusals}


def test_what_a_killed_night_took_comes_back_too(academy: Academy) -> None:
    rows = crowd(41, debut="2026-01-01")
    academy.night("2026-11-24", academy.feed(*rows, day="2026-11-24"))
    wrong = academy.feed(*ended(rows[:14], "2026-11-20"), *rows[14:], day="2026-11-25")
    file = academy.night("2026-11-25", wrong, code=4).plan_file
    words = ["apply", file, "--allow", "revoke=14", "--allow", "update=14", "--reason", "vu"]
    program = killed_at_calls_of("executor._write_records")
    killed_by(program, academy, "1", *words)
    assert len(set(services(academy).values())) == 2
    academy.night("2026-11-26", academy.feed(*rows, day="2026-11-26"))
    assert len(set(services(academy).values())) == 1


def test_the_guard_that_a_change_of_one_account_breaks_can_be_approved(academy: Academy) -> None:
    academy.edit("policy.yaml", "rename:     {floor: 15, share: 0.005}", "rename: {max: 0, share: 0.01}")
    loaded(academy, 3)
    [uid, *_] = sorted(entry["uid"][0].decode() for entry in academy.accounts().values())
    words = ["account", "rename", uid, "--usage-name", "Aubry", "--until", "2026-03-20", "--reason", "vu"]
    with academy.nothing_written():
        ran = academy.run(*words, "--as-of", "2026-03-01", "--yes")
    assert ran.code == 4, ran.err
    command = re.search(r"To go on all the same: piactl (.+)$", ran.err, re.MULTILINE)
    assert command is not None
    assert "--allow rename=1" in command[1]
    approved_run = academy.run(*shlex.split(command[1]))
    assert approved_run.code == 0, approved_run.err
