"""The policy: the example of the design, every mistake with its place, and the warnings."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from piactl.config.read_policy import policy_warnings, read_policy
from piactl.core.model.establishment import Establishment
from piactl.core.model.guard_limits import Guard, Limit
from piactl.core.model.person import Assignment
from piactl.core.model.policy import GraceRule, Position, When
from piactl.core.plan.check_guards import guards_on

HERE = Path(__file__).parent
EXAMPLE = HERE / "design_policy.yaml"
UAI = "0800009A"

SMALL = """\
version: 1
profiles: {enseignant: {when: {fonction: ENS}}}
services: {messagerie: {label: Messagerie}}
"""


def when(**conditions):
    return When(**{name: frozenset(values) for name, values in conditions.items()})


FUNCTIONS = (
    "ENS BED EAP FCA FCP FIJ IS ISES PPA RH1D RPL UPI DIR DEC DECPR DSES DOC EDU AED ADE SUR AES ADF ADM ADA "
    "ALB ASE ASH CFC CPD CTR LAB MDS ORI OUV PSY TEC INS INJ COLTER AEH -"
).split()
"""The codes of functions in AAF."""


@pytest.mark.parametrize(
    ("service", "functions"),
    [("gestion_rh", {"ADF", "ADM"}), ("evaluation", {"INS", "INJ"})],
)
@pytest.mark.parametrize("degree", ["1D", "2D"])
def test_the_shipped_policy_gives_personnel_files_only_for_such_work(service, functions, degree):
    """ADA is readaptation: mostly teachers who cannot teach at the time."""
    policy = read_policy(HERE.parents[1] / "examples" / "policy.yaml")
    register = {UAI: Establishment(UAI, degree=degree)}
    posts = {function: Assignment(UAI, function, date(2026, 9, 1)) for function in FUNCTIONS}
    assert all(policy.given_by(post, register)[0] for post in posts.values())
    given = {function for function, post in posts.items() if service in policy.given_by(post, register)[1]}
    assert given == functions


def test_a_small_policy_gets_the_defaults(written):
    policy = read_policy(written(SMALL))
    assert policy.grace == (GraceRule(When(), 30),)
    assert policy.position("") == Position("default")
    assert policy.services["messagerie"].profiles is None
    assert [period.name for period in policy.periods] == ["rentree", "fins_de_grace"]
    assert not policy.own_guards
    assert policy.window == 7


def _scaling(floor, share, per_establishment=None):
    return Guard(Limit(floor, share, scales=True), per_establishment)


def test_the_urn_follows_the_domain(written):
    assert (
        read_policy(written(SMALL + "accounts: {domain: ac-exemple.fr}")).urn
        == "urn:mace:ac-exemple.fr:service:"
    )


def test_mutation_delay_defaults_to_grant_delay(written):
    text = SMALL.replace("label: Messagerie", "label: Messagerie, grant_delay: 4")
    assert read_policy(written(text)).services["messagerie"].mutation_delay == 4


def test_partial_guards_keep_defaults_and_periods_extend_them(written):
    guards = """\
guards:
  deactivate: {per_profile: {max: 3, share: 0.5}}
  periods: {hiver: {from: 12-20, to: 01-05, deactivate: {max: 7, share: 0.7}, grant: {max: 1, share: 0.1}}}
"""
    policy = read_policy(written(SMALL + guards))
    assert policy.guards["deactivate"] == Guard(Limit(15, 0.01, scales=True), per_profile=Limit(3, 0.5))
    rentree, _, winter = policy.periods
    assert winter.guards == {
        "deactivate": Guard(Limit(7, 0.7), per_profile=Limit(3, 0.5)),
        "grant": Guard(Limit(1, 0.1)),
    }
    assert (winter.first, winter.last) == ((12, 20), (1, 5))
    # the built-in periods are those of kinds that the policy leaves to the built-in guards
    assert "deactivate" not in rentree.guards
    assert rentree.guards["grant"] == _scaling(30, 0.15)
    assert policy.own_guards


def test_a_period_of_the_policy_replaces_the_built_in_one_of_its_name(written):
    guards = "guards: {periods: {rentree: {from: 08-25, to: 09-10, grant: {max: 1, share: 0.1}}}}\n"
    policy = read_policy(written(SMALL + guards))
    assert guards_on(policy, date(2026, 9, 5))["grant"] == ("grant (rentree)", Guard(Limit(1, 0.1)))
    assert guards_on(policy, date(2026, 9, 20))["grant"] == ("grant", _scaling(20, 0.03))
    assert guards_on(policy, date(2026, 9, 20))["create"] == ("create (rentree)", _scaling(30, 0.15))


WRONG = [
    ("version: 2", 1, 10, "expected `version: 1`, found 2"),
    ("{version: 1}", 1, 1, "profiles is missing"),
    ("timezone: Europe/Pari", 4, 11, "did you mean Europe/Paris?"),
    ("timezone: ../etc/passwd", 4, 11, "the name of a time zone"),
    ("accounts: {domain: ac_amiens}", 4, 20, "a mail domain"),
    ("accounts: {open_befor: 15}", 4, 12, "unknown key open_befor in accounts; did you mean open_before?"),
    ("accounts: {bridge: 1_000}", 4, 20, "expected days, a whole number from 0 to 3650, found 1_000"),
    ("accounts: {bridge: 010}", 4, 20, "found 010"),
    ("accounts: {bridge: 12:30}", 4, 20, "found 12:30"),
    ("accounts: {bridge: 2.0}", 4, 20, "found 2.0"),
    ('accounts: {bridge: "15"}', 4, 20, 'found "15"'),
    ("accounts: {bridge: -1}", 4, 20, "found -1"),
    ("accounts: {bridge: true}", 4, 20, "found true"),
    ("accounts: {first_homonym_digit: 10}", 4, 33, "from 0 to 9, found 10"),
    ("accounts: {unknown_establishment: rejet}", 4, 35, "did you mean rejection?"),
    ("accounts: {urn: 'urn:mace:x'}", 4, 17, "beginning of the URNs"),
    ("accounts:", 4, 10, "the value is missing"),
    ("grace: []", 4, 8, "found an empty list"),
    ("grace: [{when: {corps: [051]}, days: 3}]", 4, 25, 'code 051 must be quoted: "051"'),
    ("grace: [{when: {corps: 776}, days: 3}]", 4, 24, 'code 776 must be quoted: "776"'),
    ("grace: [{when: {corps: 089}, days: 3}]", 4, 24, 'code 089 must be quoted: "089"'),
    ("grace: [{when: {fonction: no}, days: 3}]", 4, 27, 'no must be quoted: "no"'),
    ("grace: [{when: {fonction: [2026-09-01]}, days: 3}]", 4, 28, 'must be quoted: "2026-09-01"'),
    ("grace: [{when: {fonction: [on]}, days: 3}]", 4, 28, 'on must be quoted: "on"'),
    ("grace: [{when: {fonction: [12:30]}, days: 3}]", 4, 28, 'must be quoted: "12:30"'),
    ("grace: [{when: {fonction: [1e3]}, days: 3}]", 4, 28, 'must be quoted: "1e3"'),
    ("grace: [{when: {fonction: []}, days: 3}]", 4, 27, "a text or a list of texts"),
    ("grace: [{when: {function: ENS}, days: 3}]", 4, 17, "did you mean fonction?"),
    ("grace: [{when: {uai: 0800009B}, days: 3}]", 4, 22, "0800009A would be right"),
    ("grace: [{when: {uai: 0800009a}, days: 3}]", 4, 22, "write 0800009A"),
    ("grace: [{when: {position: retrete}, days: 3}]", 4, 27, "there is no position retrete"),
    ("grace: [{day: 3}]", 4, 10, "unknown key day in grace; did you mean days?"),
    ("grace: [{days: 3, dayz: 5}]", 4, 19, "unknown key dayz in grace; days is there already"),
    ("grace: [{when: {degree: 3D}, days: 3}]", 4, 25, "expected 1D or 2D"),
    ("grace: [{when: {}}]", 4, 9, "days is missing"),
    ("positions: {x: {keeps: [mesagerie]}}", 4, 25, "no service mesagerie; did you mean messagerie?"),
    ("positions: {x: {keeps: some}}", 4, 24, "some is not valid"),
    ("positions: {x: {login: yes}}", 4, 24, "write true, not yes"),
    ("positions: {x: {lock: off}}", 4, 23, "write false, not off"),
    ("positions: {x: {grace: 1.5}}", 4, 24, "whole number"),
    ("positions: {default: {ends: true}}", 4, 29, "this would end every assignment without a position"),
    ("positions: {x: {codes: [w]}, w: {}}", 4, 25, "w is position w already"),
    ("positions: {x: {codes: [z]}, w: {codes: [z]}}", 4, 42, "z is position x already"),
    ("positions: {x: {codes: []}}", 4, 24, "an empty list"),
    ("positions: {x: {codes: [a, a]}}", 4, 24, "appears twice in this list"),
    ("positions: {051: {}}", 4, 13, 'key 051 must be quoted: "051"'),
    ("positions: {x: }", 4, 16, "the value is missing"),
    ("guards: {deactivat: {max: 1, share: 0.1}}", 4, 10, "did you mean deactivate?"),
    ("guards: {lock: {max: 1}}", 4, 16, "share is missing in guards.lock"),
    ("guards: {lock: {share: 0.1}}", 4, 16, "max is missing in guards.lock"),
    ("guards: {lock: {floor: 1}}", 4, 16, "share is missing in guards.lock"),
    ("guards: {lock: {floor: 1, max: 1, share: 0.1}}", 4, 32, "expected floor or max, not both, found 1"),
    ("guards: {held: {share: 0.1}}", 4, 16, "max is missing in guards.held"),
    ("approvals: {required: [{refused: deactivat}]}", 4, 34, "there is no deactivat;"),
    ("approvals: {required: [{kind: [lock, held], more_than: 2}]}", 4, 38, "there is no held;"),
    ("approvals: {required: [{kind: lock}]}", 4, 24, "more_than"),
    ("approvals: {required: [{refused: any, kind: lock, more_than: 2}]}", 4, 24, "rules of their own"),
    ("approvals: {required: [{protected: false}]}", 4, 36, "expected true"),
    ("guards: {held: {floor: 1, share: 0.1, per_profile: {max: 1, share: 0.1}}}", 4, 39, "unknown key"),
    ("guards: {window: 1}", 4, 18, "the number of days whose losses count together, 2 to 31, found 1"),
    ("guards: {lock: {}}", 4, 16, "an empty mapping"),
    ("guards: {lock: {max: 1, share: 1}}", 4, 32, "a share from 0 to less than 1"),
    ("guards: {lock: {max: 1, share: 5%}}", 4, 32, "found 5%"),
    ("guards: {lock: {max: 1, share: .5}}", 4, 32, "found .5"),
    ("guards: {periods: {x: {from: 02-30, to: 03-01}}}", 4, 30, "02-30 is not a day of the year"),
    ("guards: {periods: {x: {from: 2026-02-03, to: 03-01}}}", 4, 30, "a day of the year as MM-DD"),
    ("guards: {periods: {x: {from: 03-01}}}", 4, 23, "to is missing"),
    ("protected: [Admin]", 4, 13, "a uid of small letters"),
    ("protected: [a, a]", 4, 12, "appears twice in this list"),
    ("otp: {enforced_by: portail}", 4, 20, "did you mean portal?"),
    ("otp: {issuer: 'Amiens: PIA'}", 4, 15, "without a colon"),
    ("otp: {resync_minutes: 2}", 4, 23, "5 to 1440"),
    ("wages: 3", 4, 1, "unknown key wages"),
    ("services: {x: {label: X}}", 4, 1, "key services appears twice, first on line 3"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), WRONG, ids=[case[0] for case in WRONG])
def test_a_mistake_is_reported_with_its_place(written, mistakes_of, text, line, column, words):
    content = text if line == 1 else SMALL + text
    mistakes = mistakes_of(read_policy, written(content))
    assert any((m.line, m.column) == (line, column) and words in m.message for m in mistakes), mistakes
    if line == 4:
        assert {m.line for m in mistakes} == {4}, "the rest of the file is right"


WRONG_SERVICES = [
    ("profiles: [ensegnant]", 12, "no profile ensegnant; did you mean enseignant?"),
    ("profiles: none", 11, "none is not valid"),
    ("handover: 3", 11, "only with `scope: establishment`"),
    ("scope: establishment, meanwhile: keep", 34, "only with `scope: person`"),
    ("scope: person, handover: 0", 26, "only with `scope: establishment`"),
    ("scope: etablissement", 8, "did you mean establishment?"),
    ("otp: offsite", 6, "did you mean off-site?"),
    ("meanwhile: kep", 12, "did you mean keep?"),
    ("mutation_delay: two", 17, "found two"),
    ("in_grace: 1", 11, "true or false, found 1"),
]


@pytest.mark.parametrize(
    ("text", "column", "words"), WRONG_SERVICES, ids=[case[0] for case in WRONG_SERVICES]
)
def test_a_mistake_in_a_service_is_reported_with_its_place(written, mistakes_of, text, column, words):
    opening = "services: {s: {label: S, "
    content = SMALL.replace("services: {messagerie: {label: Messagerie}}", f"{opening}{text}}}}}")
    (mistake,) = mistakes_of(read_policy, written(content))
    assert (mistake.line, mistake.column) == (3, len(opening) + column)
    assert words in mistake.message


def test_all_mistakes_are_reported_at_once(written, mistakes_of):
    text = """\
version: 1
timezone: Europe/Pariss
accounts: {retention: 12:30, bridg: 3}
grace: [{when: {corps: [051]}, days: 30}]
profiles:
  enseignant: {when: {function: ENS}}
positions: {conge: {keeps: [agenda], login: yes}}
services:
  messagerie: {label: no, profiles: [direction]}
guards: {deactivate: {max: 3}}
"""
    mistakes = mistakes_of(read_policy, written(text))
    assert [(m.line, m.column) for m in mistakes] == [
        (2, 11), (3, 23), (3, 30), (4, 25), (6, 23), (7, 29), (7, 45), (9, 23), (9, 38), (10, 22),
    ]  # fmt: skip


def test_warnings_of_the_example():
    warnings = policy_warnings(read_policy(EXAMPLE), "p.yaml")
    assert [(m.file, m.line) for m in warnings] == [("p.yaml", 5), ("p.yaml", 10)]
    assert "30/11/2006" in warnings[0].message
    assert "120 days" in warnings[0].message
    assert "enseignant1d: nobody can have it: enseignant before it takes" in warnings[1].message


@pytest.mark.parametrize(
    ("profiles", "lines"),
    [
        ("a: {when: {fonction: [X, Y]}}\n  b: {when: {fonction: [X]}}", [4]),
        ("a: {when: {fonction: [X]}}\n  b: {when: {fonction: [X, Y]}}", []),
        ("a: {when: {fonction: [X], degree: 1D}}\n  b: {when: {fonction: [X]}}", []),
        ("a: {when: {}}\n  b: {when: {fonction: [X]}}", [4]),
        ("a: {when: {fonction: X}}\n  b: {when: {fonction: Y}}\n  c: {when: {fonction: [X, Y]}}", [5]),
        (
            "a: {when: {fonction: X}}\n  b: {when: {corps: '1'}}\n  c: {when: {fonction: [X,Z], corps: '1'}}",
            [5],
        ),
        (
            "a: {when: {fonction: X}}\n  b: {when: {corps: '1'}}\n  c: {when: {fonction: [X,Z], corps: '2'}}",
            [],
        ),
    ],
)
def test_warnings_name_profiles_that_nobody_can_have(written, profiles, lines):
    text = f"version: 1\nprofiles:\n  {profiles}\nservices: {{m: {{label: M}}}}\n"
    assert [m.line for m in policy_warnings(read_policy(written(text)))] == lines


def test_warnings_name_services_that_nobody_gets(written):
    text = """\
version: 1
profiles:
  a: {when: {}}
  b: {when: {corps: "1"}}
services:
  s1: {label: S, profiles: []}
  s2: {label: S, profiles: [b]}
  s3: {label: S, profiles: [a, b]}
"""
    warnings = policy_warnings(read_policy(written(text)))
    assert [(m.line, "no profile gets it; name another, or remove it" in m.message) for m in warnings] == [
        (4, False),
        (6, True),
        (7, True),
    ]


def test_a_condition_that_no_profile_of_the_service_can_meet(written):
    text = """\
version: 1
profiles:
  a: {when: {corps: "1"}}
services:
  s1: {label: S, profiles: [a], when: {corps: "2"}}
  s2: {label: S, when: {corps: ["1", "2"], uai: 0800009A}}
"""
    warnings = policy_warnings(read_policy(written(text)))
    assert [(m.line, m.message) for m in warnings] == [
        (5, "services.s1.when: fits none of its profiles; change one of them")
    ]


@pytest.mark.parametrize(("grace", "retention", "warned"), [(32, 60, 0), (33, 60, 1), (0, 92, 0), (0, 93, 1)])
def test_grace_and_retention_over_three_months_give_a_warning(written, grace, retention, warned):
    text = SMALL + f"accounts: {{retention: {retention}}}\ngrace: [{{days: {grace}}}]\n"
    assert len(policy_warnings(read_policy(written(text)))) == warned


def test_warnings_look_at_the_grace_of_positions(written):
    text = SMALL + "positions:\n  x: {grace: 40}\n"
    assert [m.line for m in policy_warnings(read_policy(written(text)))] == [5]


def test_the_29_february_is_a_day_of_the_year(written):
    text = SMALL + "guards: {periods: {x: {from: 02-29, to: 03-01, lock: {max: 1, share: 0.1}}}}\n"
    assert read_policy(written(text)).periods[-1].first == (2, 29)
