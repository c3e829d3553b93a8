"""`service` and `profile`: what the policy says, with its lines; no directory is needed."""

from __future__ import annotations

import pytest

from tests.story.academy import Academy


@pytest.fixture
def down(academy: Academy) -> Academy:
    """An academy whose directory does not run."""
    academy.sandbox.stop()
    return academy


def line_of(academy: Academy, text: str) -> int:
    lines = (academy.sandbox.folder / "policy.yaml").read_text(encoding="utf-8").splitlines()
    numbers = [number for number, line in enumerate(lines, 1) if line.startswith(text)]
    assert len(numbers) == 1
    return numbers[0]


def test_services(down: Academy) -> None:
    ran = down.run("service", "list", "-o", "json")
    assert ran.code == 0, ran.err
    services = {service["name"]: service for service in ran.json}
    assert list(services)[:2] == ["messagerie", "annuaire"], "as the policy orders them"
    assert services["siecle"] == {
        "name": "siecle",
        "label": "SIECLE",
        "scope": "establishment",
        "grant_delay": 0,
        "mutation_delay": 1,
        "meanwhile": None,
        "handover": 15,
        "in_grace": False,
        "otp": "always",
        "profiles": ["direction", "cpe"],
        "when": {},
        "line": line_of(down, "  siecle:"),
    }
    table = down.run("service", "list", "-o", "table").out
    assert max(map(len, table.splitlines())) < 200
    assert "of 16" in table
    assert down.run("service", "list").out.startswith("name\tlabel\tscope\t")


def test_a_service(down: Academy) -> None:
    ran = down.run("service", "show", "siecle")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("SIECLE  siecle\n")
    assert f"policy.yaml:{line_of(down, '  siecle:')}\n" in ran.out
    assert "on the first day, 1 day after the start of a mutation" in ran.out
    assert "with the post, 15 days later where a mutation follows" in ran.out
    assert f"    cpe                  line {line_of(down, '  cpe:'):<5} fonction EDU\n" in ran.out
    assert (
        f"    verrouille           line {line_of(down, '  verrouille:'):<5} takes it away, locks" in ran.out
    )
    view = down.run("service", "show", "siecle", "-o", "json").json
    assert view["urn"] == "urn:mace:ac-amiens.fr:service:siecle:UAI"
    assert view["given_by"][1] == {
        "name": "cpe",
        "when": {"fonction": ["EDU"]},
        "line": line_of(down, "  cpe:"),
    }
    positions = {position["name"]: (position["keeps"], position["ends"]) for position in view["positions"]}
    assert (positions["acces_reduit"], positions["retraite"]) == ((False, False), (False, True))
    assert "given_by\tdirection cpe\n" in down.run("service", "show", "siecle", "-o", "tsv").out


def test_profiles(down: Academy) -> None:
    rows = {profile["name"]: profile for profile in down.run("profile", "list", "-o", "json").json}
    assert rows["enseignant1d"]["when"]["degree"] == ["1D"]
    assert "iprof" in rows["enseignant1d"]["services"]
    assert "aesh\tfonction AEH\tmessagerie annuaire colibris magistere\t" in down.run("profile", "list").out


def test_a_profile(down: Academy) -> None:
    ran = down.run("profile", "show", "direction")
    assert ran.code == 0
    assert "  after      none of these fits: direction_ecole\n" in ran.out
    assert f"    iprof                line {line_of(down, '  iprof:'):<5} I-Prof\n" in ran.out
    assert "SIECLE  at the establishment\n" in ran.out
    assert "    60 days " in ran.out
    view = down.run("profile", "show", "direction", "-o", "ndjson")
    assert view.json["tried_before"] == ["direction_ecole"]
    assert view.json["grace"][-1] == {"when": {}, "days": 30, "line": line_of(down, "  - {days: 30}")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("service", "show", "iporf"), "iporf: the policy has no such service; did you mean iprof?"),
        (
            ("service", "show", "livret scol"),
            "livret scol: the policy has no such service; did you mean livret?",
        ),
        (
            ("service", "show", "Scolaire"),
            "'Scolaire' fits several services: livret (Livret scolaire unique), viescolaire (Vie scolaire)",
        ),
        (("service", "show", "\x1b[2J"), r"\x1b[2J: the policy has no such service"),
        (
            ("profile", "show", "ensegnant"),
            "ensegnant: the policy has no such profile; did you mean enseignant?",
        ),
    ],
)
def test_an_unknown_service_or_profile_is_reported(
    down: Academy, words: tuple[str, ...], message: str
) -> None:
    ran = down.run(*words)
    assert (ran.code, ran.out) == (9, "")
    assert message in ran.err


def test_two_typing_errors_are_two_mistakes(down: Academy) -> None:
    """A mistyped section and a mistyped profile, which many services name."""
    section = line_of(down, "services:")
    down.edit("policy.yaml", "\n  cpe:", "\n  cep:")
    down.edit("policy.yaml", "\nservices:", "\nservises:")
    ran = down.run("service", "list")
    messages = [message for message in ran.err.splitlines() if "policy.yaml:" in message]
    assert (ran.code, len(messages)) == (10, 2), ran.err
    assert f"policy.yaml:{section}:1: unknown key servises; did you mean services?" in messages[0]
    assert "there is no profile cpe; did you mean cep? (also on lines " in messages[1]
