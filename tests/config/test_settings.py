"""The configuration of a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from piactl.config.read_settings import read_settings
from piactl.core.model.settings import (
    Canary,
    ChangeHook,
    DirectorySettings,
    Identity,
    LimitsPeriod,
    PasswordSettings,
    Settings,
    SourceLimits,
    SourceSettings,
    TlsSettings,
)

SMALL = """\
version: 1
policy: policy.yaml
establishments: establishments.csv
keys: secrets/keys
journal: journal/piactl.jsonl
state_folder: state
directory:
  suffix: o=gouv,c=fr
  accounts: ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr
  state: ou=piactl,ou=ac-amiens,ou=education,o=gouv,c=fr
"""
LOCAL = (
    SMALL
    + """\
  servers: ["ldapi://%2Frun%2Fslapd%2Fldapi"]
  identities: {nightly: {external: true}}
"""
)


def test_a_small_configuration_and_its_defaults(written):
    path = written(LOCAL)
    folder = str(path.parent)
    assert read_settings(path) == Settings(
        file=str(path),
        directory=DirectorySettings(
            servers=("ldapi://%2Frun%2Fslapd%2Fldapi",),
            suffix="o=gouv,c=fr",
            accounts="ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr",
            state="ou=piactl,ou=ac-amiens,ou=education,o=gouv,c=fr",
            identities={"nightly": Identity(external=True, name="nightly")},
        ),
        policy_file=f"{folder}/policy.yaml",
        establishments_file=f"{folder}/establishments.csv",
        keys_file=f"{folder}/secrets/keys",
        journal_file=f"{folder}/journal/piactl.jsonl",
        state_folder=f"{folder}/state",
    )


def test_a_configuration_that_says_everything():
    path = Path(__file__).parent / "full_configuration.yaml"
    settings = read_settings(path)
    directory = settings.directory
    assert directory.servers == ("ldaps://ldap1.example.fr", "ldap://ldap2.example.fr:1389")
    assert directory.identities["reader"] == Identity(
        dn="cn=piactl-reader,ou=piactl,o=gouv,c=fr",
        password_file=str(path.parent / "secrets/reader"),
        name="reader",
    )
    assert directory.identities["nightly"].password_file == "credential:nightly"
    assert directory.identities["desk"].password_file == "/etc/piactl/desk"
    assert settings.roles == {
        "desk": ("helpdesk", "accueil"),
        "administrator": ("dsi-admins",),
        "approver": ("dsi-control",),
        "portal": ("portal",),
    }
    assert directory.tls == TlsSettings(str(path.parent / "tls/ca.pem"), starttls=True, strict=False)
    assert (directory.connect_timeout, directory.operation_timeout) == (3, 20)
    assert (directory.replication_seconds, directory.in_flight) == (40, 32)
    assert directory.attributes == {"supannMailPrive": "mailPrive"}
    assert directory.taken_attributes == ("uid", "mail")
    assert directory.groups == "ou=groupes,ou=ac-amiens,ou=education,o=gouv,c=fr"
    assert directory.structures == "ou=structures,ou=ac-amiens,ou=education,o=gouv,c=fr"
    assert settings.matching_key_file == str(path.parent / "secrets/matching")
    assert settings.metrics_file == "/var/lib/node_exporter/piactl.prom"
    assert (settings.any_date, settings.strict) == (True, False)
    assert settings.go_on == {"epp"}
    assert (settings.lock_seconds, settings.keep_undo_days, settings.clock_minutes) == (600, 30, 15)
    assert settings.keep_rejects_days == 20
    policy = "cn=activation,ou=policies,o=gouv,c=fr"
    default = "cn=default,ou=policies,o=gouv,c=fr"
    protected, strict = (f"cn={name},ou=policies,o=gouv,c=fr" for name in ("protected", "strict"))
    assert settings.password == PasswordSettings(default, policy, 48, 13, 17, 40, 10, protected, (strict,))
    sessions, mailbox = ("/usr/local/sbin/end-sessions", "--now"), ("/usr/local/sbin/make-mailbox",)
    assert settings.change_hooks == (
        ChangeHook(frozenset({"lock", "deactivate"}), sessions, 5),
        ChangeHook(frozenset({"create"}), mailbox, 20),
    )
    assert settings.proof_hook == ("/usr/local/sbin/tell-owner", "--mail")
    assert settings.canaries == (Canary("closed", "essai.ferme", str(path.parent / "secrets/closed")),)
    assert settings.sources == {
        "epp": SourceSettings(
            name="epp",
            full=False,
            trailer=True,
            files=("epp-*.csv",),
            date_pattern=r"epp-(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
            delimiter="\t",
            encoding="iso-8859-15",
            date_formats=("%Y%m%d",),
            columns={"matricule": "MAT", "nom_famille": "NOM"},
            values={"position": {"01": "activite", "02": "retraite"}},
            constants={"corps": "551"},
            absent_runs=3,
            namespace="aaf",
            feed_days=12,
            limits=SourceLimits(0.1, 10, 0.8, 30, 0.2, 40, 0.3, 25, 0.06, 15, 100_000, 50_000_000, 200),
            periods=(
                LimitsPeriod(
                    "rentree",
                    (8, 20),
                    (10, 15),
                    SourceLimits(0.2, 11, 0.7, 31, 0.4, 41, 0.5, 26, 0.07, 16, 200_000, 60_000_000, 300),
                ),
            ),
        ),
        "aaf2d": SourceSettings(
            name="aaf2d",
            files=("ENT2D*",),
            format="aaf",
            supplement=True,
            perimeter={
                "academie": "020",
                "degre": "2D",
                "departements": "080,002",
                "secteurs": "PU",
                "types": "CLG,LYC",
            },
            drop_functions=("-",),
            empty_values="keep",
            delta_days=7,
            delta_weekdays=("mon", "tue", "wed", "thu", "fri"),
            state_folder=settings.state_folder,
        ),
    }
    assert [*settings.sources] == ["epp", "aaf2d"]  # a supplement has the lowest rank


def test_a_period_of_limits_inherits_what_it_does_not_set(written):
    text = (
        LOCAL
        + """\
sources:
  hr: {kind: full, limits: {bad_floor: 7, periods: {rentree: {from: 08-20, to: 10-15, size_share: 0.4}}}}
"""
    )
    source = read_settings(written(text)).sources["hr"]
    assert source.full
    assert source.limits == SourceLimits(bad_floor=7)
    assert source.periods[0].limits == SourceLimits(bad_floor=7, size_share=0.4)


SERVERS = [
    ("ldap://ldap.example.fr", "would carry passwords in the clear"),
    ("ldap://10.0.0.7:389", "would carry passwords in the clear"),
    ("ldap://127.0.0.1.example.fr", "would carry passwords in the clear"),
    ("LDAP://ldap.example.fr", "would carry passwords in the clear"),
    ("http://ldap.example.fr", "is not an address such as"),
    ("ldap:/ldap.example.fr", "is not an address such as"),
    ("ldap.example.fr", "is not an address such as"),
    ("ldap://ldap.example.fr:99999", "is not an address such as"),
    ("ldap://ldap.example.fr/o=gouv", "is not an address such as"),
    ("ldap://[::1", "is not an address such as"),
    ("ldaps://", "names no host"),
    ("ldapi://run", "%2F"),
]


@pytest.mark.parametrize(("address", "words"), SERVERS)
def test_an_unsafe_or_malformed_server_address_is_refused(written, mistakes_of, address, words):
    text = (
        SMALL
        + f"""\
  identities: {{reader: {{dn: "cn=reader,c=fr", password_file: reader}}}}
  servers: ["{address}"]
"""
    )
    (mistake,) = mistakes_of(read_settings, written(text))
    assert (mistake.line, mistake.column) == (12, 13)
    assert words in mistake.message


@pytest.mark.parametrize(
    "address", ["ldap://localhost", "ldap://127.0.0.1:3890", "ldap://[::1]:3890", "ldaps://l.fr"]
)
def test_local_and_ldaps_servers_are_accepted_with_passwords(written, address):
    text = (
        SMALL
        + f"""\
  identities: {{reader: {{dn: "cn=reader,c=fr", password_file: reader}}}}
  servers: ["{address}"]
"""
    )
    assert read_settings(written(text)).directory.servers == (address,)


def test_starttls_allows_passwords(written):
    text = (
        SMALL
        + """\
  identities: {reader: {dn: "cn=reader,c=fr", password_file: reader}}
  servers: ["ldap://ldap.example.fr"]
  tls: {starttls: true}
"""
    )
    assert read_settings(written(text)).directory.tls == TlsSettings(starttls=True, strict=True)


def test_a_password_in_an_address_is_refused_and_not_shown(written, mistakes_of):
    text = LOCAL.replace("ldapi://%2Frun%2Fslapd%2Fldapi", "ldap://reader:vraiment-secret@ldap.example.fr")
    (mistake,) = mistakes_of(read_settings, written(text))
    assert mistake.line == 11
    assert "vraiment-secret" not in str(mistake)


WRONG = [
    ("identities: {reader: {external: true}}\n  servers: [\"ldaps://l.fr\"]", 12, 13, "needs ldapi://"),
    ("identities: {reader: {dn: c=fr}}", 11, 24, "password_file is missing"),
    ("identities: {reader: {}}", 11, 24, "dn and password_file is missing"),
    ("identities: {reader: {external: true, dn: c=fr}}", 11, 45, "goes without dn; keep one of them"),
    ("identities: {reader: {dn: 'c=fr,,', password_file: x}}", 11, 29, "is not a distinguished name"),
    ("identities: {raeder: {external: true}}", 11, 16, "did you mean reader?"),
    ("identities: {}", 11, 15, "an empty mapping"),
    ("attributes: {mail: courriel, cn: Courriel}", 11, 36, "is already used for mail; name another"),
    ("attributes: {'a b': x}", 11, 16, "the name of an LDAP attribute"),
    ("in_flight: 0", 11, 14, "requests, a whole number from 1"),
    ("page_size: 500", 11, 3, "unknown key page_size in directory; it was removed; delete the line"),
    ("connect_timeout: 5s", 11, 20, "found 5s"),
    ("tls: {startls: true}", 11, 9, "did you mean starttls?"),
    ("servers: []", 11, 12, "an empty list"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "words"), WRONG, ids=[case[0] for case in WRONG])
def test_a_mistake_in_the_directory_section(written, mistakes_of, text, line, column, words):
    mistakes = mistakes_of(read_settings, written(SMALL + f"  {text}\n"))
    assert any((m.line, m.column) == (line, column) and words in m.message for m in mistakes), mistakes


@pytest.mark.parametrize("key", ["accounts", "state"])
def test_a_tree_outside_the_suffix(written, mistakes_of, key):
    lines = [
        f"  {key}: ou=x,o=gouv,c=de" if line.startswith(f"  {key}:") else line for line in LOCAL.splitlines()
    ]
    (mistake,) = mistakes_of(read_settings, written("\n".join(lines)))
    assert mistake.line == next(n for n, line in enumerate(lines, 1) if "c=de" in line)
    assert f"directory.{key}: ou=x,o=gouv,c=de is not below the suffix" in mistake.message


def test_case_and_blanks_in_the_suffix_do_not_matter(written):
    text = LOCAL.replace("suffix: o=gouv,c=fr", "suffix: O=Gouv, C = FR")
    assert read_settings(written(text)).directory.suffix == "O=Gouv, C = FR"


WRONG_SOURCES = [
    ("date_pattern: '(?P<year>x'", 15, "not a valid regular expression"),
    ("date_pattern: '(?P<year>x)'", 15, "(?P<month>...) and (?P<day>...)"),
    ("delimiter: ':'", 12, "is not valid"),
    ("encoding: latin1", 11, "utf-8, windows-1252 or iso-8859-15"),
    ("encoding: iso-8859-1", 11, "did you mean iso-8859-15?"),
    ("date_formats: ['%d/%m']", 16, "must contain a day, a month and a year"),
    ("date_formats: ['%']", 16, "must contain a day, a month and a year"),
    ("date_formats: ['%d-%d-%Y']", 16, "must contain a day, a month and a year"),
    ("columns: {matricul: MAT}", 11, "did you mean matricule?"),
    ("columns: {corps: 12}", 18, 'code 12 must be quoted: "12"'),
    ("values: {position: {01: activite}}", 21, 'key 01 must be quoted: "01"'),
    ("values: {position: {no: activite}}", 21, 'key no must be quoted: "no"'),
    ("values: {position: {'01': 3}}", 27, 'code 3 must be quoted: "3"'),
    ("values: {nom: {}}", 10, "nom is not allowed as a key"),
    ("constants: {corps: 551}", 20, 'code 551 must be quoted: "551"'),
    ("columns: {corps: C}, constants: {corps: '551'}", 41, "this column is also under columns"),
    ("absent_runs: 0", 14, "found 0"),
    ("limits: {size_shar: 1}", 10, "did you mean size_share?"),
    ("limits: {bad_share: 2}", 21, "a share from 0 to 1"),
    ("limits: {periods: {r: {from: 04-31, to: 05-01}}}", 30, "04-31 is not a day of the year"),
    ("trailer: no", 10, "write false, not no"),
    ("format: aaf, encoding: utf-8", 24, "not a setting of the format aaf; remove it"),
    ("perimeter: {degre: 2D}", 12, "not a setting of the format csv; remove it"),
    ("role: second", 7, "second is not valid"),
]


@pytest.mark.parametrize(("text", "column", "words"), WRONG_SOURCES, ids=[case[0] for case in WRONG_SOURCES])
def test_a_mistake_in_a_source(written, mistakes_of, text, column, words):
    opening = "sources: {hr: {kind: full, "
    (mistake,) = mistakes_of(read_settings, written(f"{LOCAL}{opening}{text}}}}}\n"))
    assert (mistake.line, mistake.column) == (13, len(opening) + column), mistake
    assert words in mistake.message


def test_an_aaf_source_is_full_and_a_csv_source_needs_its_kind(written, mistakes_of):
    text = LOCAL + "sources:\n  a: {format: aaf, kind: delta}\n  b: {format: csv}\n"
    mistakes = mistakes_of(read_settings, written(text))
    assert [m.line for m in mistakes] == [14, 15]
    assert "complete sets; write full, or remove it" in mistakes[0].message
    assert "kind is missing in sources.b" in mistakes[1].message


def test_a_file_pattern_of_two_sources_is_refused(written, mistakes_of):
    text = LOCAL + "sources:\n  a: {kind: full, files: [x.csv]}\n  b: {kind: full, files: [y.csv, x.csv]}\n"
    (mistake,) = mistakes_of(read_settings, written(text))
    assert (mistake.line, mistake.column) == (15, 34)


def test_all_mistakes_are_reported_at_once(written, mistakes_of):
    text = """\
version: 1
policy:
establishments: 12
journal: j
state_folder: s
any_date: yes
directory:
  servers: ["http://x"]
  suffix: gouv
  accounts: ou=a,c=fr
  state: ou=s,c=fr
  identities: {reader: {dn: c=fr}}
sources:
  hr: {kind: ful, encodin: utf-8}
"""
    mistakes = mistakes_of(read_settings, written(text))
    assert [(m.line, m.column) for m in mistakes] == [
        (1, 1), (2, 8), (3, 17), (6, 11), (8, 13), (9, 11), (12, 24), (14, 14), (14, 19),
    ]  # fmt: skip


def test_hooks_without_a_command_or_given_twice_are_mistakes(written, mistakes_of):
    text = LOCAL + "\nhooks:\n  changes:\n    -\n    - {}\n    - {kinds: [lock], run: [/bin/true]}\n"
    text += "    - {kinds: [create], run: [/bin/true]}\n"
    mistakes = [(mistake.line, mistake.message) for mistake in mistakes_of(read_settings, written(text))]
    first = text.splitlines().index("  changes:") + 2
    assert {line for line, _ in mistakes} == {first, first + 1, first + 3}, mistakes
    assert any("is there twice" in message for _, message in mistakes)
