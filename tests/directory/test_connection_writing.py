"""Writing to a real slapd: writes are atomic and conditional, and each outcome is true."""

# ruff: noqa: SIM117 (nested, they show which step is to fail)

from __future__ import annotations

from collections.abc import Iterator

import pytest

from piactl.core.plan.write import Values, Write
from piactl.directory.dn import child
from piactl.directory.interfaces import Outcome, Writer, WriteResult
from piactl.directory.open import open_reader, open_writer
from piactl.errors import DirectoryRefused, DirectoryUnreachable, ReplyLost

from .plain_slapd import CLERK, PEOPLE, SUFFIX, PlainSlapd, password, running

ALICE = f"uid=alice,{PEOPLE}"
ENTRY: Values = {
    "objectClass": (b"inetOrgPerson",),
    "uid": (b"alice",),
    "cn": (b"Alice Durand",),
    "sn": (b"Durand",),
    "mail": (b"alice.durand@example.fr", b"alice@example.fr"),
    "description": ("née à Amiens".encode(),),
}


@pytest.fixture
def slapd() -> Iterator[PlainSlapd]:
    with running() as server:
        yield server


@pytest.fixture
def writer(slapd: PlainSlapd) -> Iterator[Writer]:
    with open_writer(slapd.settings(), "clerk", password) as writer:
        [added] = writer.write([Write("add", ALICE, add=ENTRY)])
        assert added.outcome is Outcome.APPLIED
        yield writer


def one(writer: Writer, write: Write) -> WriteResult:
    [result] = writer.write([write])
    assert result.write is write
    return result


def held(writer: Writer, *attributes: str) -> Values:
    entry = writer.read(ALICE, attributes)
    assert entry is not None
    return entry.values


def test_a_repeated_add_modify_or_delete_is_unchanged(writer: Writer) -> None:
    assert held(writer, *ENTRY) == ENTRY
    assert one(writer, Write("add", ALICE, add=ENTRY)).outcome is Outcome.UNCHANGED
    change = Write(
        "modify",
        ALICE,
        delete={"mail": (b"alice@example.fr",)},
        add={"mail": (b"a.durand@example.fr",), "title": (b"ENS",)},
    )
    assert one(writer, change).outcome is Outcome.APPLIED
    assert set(held(writer, "mail")["mail"]) == {b"alice.durand@example.fr", b"a.durand@example.fr"}
    assert one(writer, change).outcome is Outcome.UNCHANGED
    end = Write("delete", ALICE, delete={"title": (b"ENS",)})
    assert one(writer, end).outcome is Outcome.APPLIED
    assert writer.read(ALICE, ["uid"]) is None
    assert one(writer, end).outcome is Outcome.UNCHANGED
    gone = one(writer, change)
    assert (gone.outcome, gone.message) == (Outcome.CONFLICT, "the entry is gone")


def test_a_conflict_names_the_other_writer_and_changes_nothing(slapd: PlainSlapd, writer: Writer) -> None:
    with open_writer(slapd.settings(), "root", password) as other:
        assert (
            one(other, Write("modify", ALICE, delete={"sn": (b"Durand",)}, add={"sn": (b"Petit",)})).outcome
            is Outcome.APPLIED
        )
    result = one(
        writer,
        Write("modify", ALICE, delete={"sn": (b"Durand",)}, add={"sn": (b"Bernard",), "title": (b"ENS",)}),
    )
    assert result.outcome is Outcome.CONFLICT
    assert "sn" in result.message
    assert "title" not in result.message
    assert "cn=root" in result.message
    assert "Petit" not in result.message
    assert held(writer, "sn", "title") == {"sn": (b"Petit",)}


def test_an_added_value_that_is_there_already_is_a_conflict(writer: Writer) -> None:
    mixed = Write("modify", ALICE, add={"mail": (b"alice@example.fr", b"new@example.fr")})
    assert one(writer, mixed).outcome is Outcome.CONFLICT
    assert len(held(writer, "mail")["mail"]) == 2


def test_a_deletion_asserts_what_it_deletes(writer: Writer) -> None:
    result = one(writer, Write("delete", ALICE, delete={"sn": (b"Petit",)}))
    assert result.outcome is Outcome.CONFLICT
    assert held(writer, "sn") == {"sn": (b"Durand",)}


def test_a_correction_of_case_is_a_change(writer: Writer) -> None:
    change = Write("modify", ALICE, delete={"sn": (b"Durand",)}, add={"sn": (b"DURAND",)})
    assert one(writer, change).outcome is Outcome.APPLIED
    assert held(writer, "sn") == {"sn": (b"DURAND",)}


def test_a_value_is_respelled_though_the_server_takes_both_as_equal(writer: Writer) -> None:
    """telephoneNumber compares without blanks and hyphens; piactl's own folding does not ignore hyphens."""
    one(writer, Write("modify", ALICE, add={"telephoneNumber": (b"+33 3 22-82-38-23",)}))
    change = Write(
        "modify",
        ALICE,
        delete={"telephoneNumber": (b"+33 3 22-82-38-23",)},
        add={"telephoneNumber": (b"+33 3 22 82 38 23",)},
    )
    assert one(writer, change).outcome is Outcome.APPLIED
    assert held(writer, "telephoneNumber") == {"telephoneNumber": (b"+33 3 22 82 38 23",)}


def test_a_value_that_cannot_be_read_is_replaced(slapd: PlainSlapd, writer: Writer) -> None:
    for secret in (b"canary-first-4Hd", b"canary-second-8Lm"):
        write = Write("modify", ALICE, delete={"userPassword": ()}, add={"userPassword": (secret,)})
        assert one(writer, write).outcome is Outcome.APPLIED
    assert "userPassword" not in held(writer, "userPassword")
    with open_reader(slapd.settings(), "root", password) as root:
        entry = root.read(ALICE, ["userPassword"])
    assert entry is not None
    assert entry.values["userPassword"] == (b"canary-second-8Lm",)


def test_an_add_over_another_entry_is_a_conflict(writer: Writer) -> None:
    result = one(writer, Write("add", ALICE, add={**ENTRY, "sn": (b"Petit",)}))
    assert result.outcome is Outcome.CONFLICT
    assert "sn" in result.message
    assert held(writer, "sn") == {"sn": (b"Durand",)}


def test_one_bad_entry_does_not_stop_the_others(writer: Writer) -> None:
    def named(uid: str, **attributes: tuple[bytes, ...]) -> Write:
        values = {"objectClass": (b"inetOrgPerson",), "uid": (uid.encode(),), "cn": (b"x",), **attributes}
        return Write("add", child(PEOPLE, "uid", uid), add=values)

    writes = [
        named("fine", sn=(b"x",)),
        named("without"),
        named("unknown", sn=(b"x",), noSuchThing=(b"1",)),
        Write("add", f"uid=lost,ou=nowhere,{SUFFIX}", add=named("lost", sn=(b"x",)).add),
        Write("delete", PEOPLE),
        Write("modify", ALICE, delete={"sn": (b"Durand",)}),
        named("also", sn=(b"x",)),
    ]
    results = list(writer.write(writes))
    assert [result.write for result in results] == writes
    assert [result.outcome.name for result in results] == ["APPLIED", *["FAILED"] * 5, "APPLIED"]
    for result, words in zip(
        results[1:6],
        [
            "objectClassViolation",
            "undefinedAttributeType",
            "its parent entry is missing",
            "notAllowedOnNonLeaf",
            "objectClassViolation",
        ],
        strict=True,
    ):
        assert words in result.message


HOSTILE = (
    b"\x00", b"a\x00b", b"*", b"(*)(uid=*)", b"\\2a", b" lead", b"trail ", "é".encode(), b"x" * 10_240,
    b"\xf0\x9f\x98\x80", b"#1", b"line\nline",
)  # fmt: skip


def test_hostile_values_are_written_and_asserted_as_they_are(writer: Writer) -> None:
    description, title = ENTRY["description"], (b"back",)
    for value in HOSTILE:
        put = Write("modify", ALICE, delete={"description": description}, add={"description": (value,)})
        assert one(writer, put).outcome is Outcome.APPLIED, value
        assert held(writer, "description") == {"description": (value,)}
        assert one(writer, put).outcome is Outcome.UNCHANGED, value
        back = Write("modify", ALICE, delete={"description": (value,)}, add={"title": title})
        assert one(writer, back).outcome is Outcome.APPLIED, value
        assert held(writer, "description", "title") == {"title": title}
        again = Write("modify", ALICE, delete={"title": title}, add={"description": description})
        assert one(writer, again).outcome is Outcome.APPLIED, value


def test_a_full_database_ends_writing_after_the_results_so_far() -> None:
    with running(maxsize=400_000) as server, open_writer(server.settings(), "clerk", password) as writer:
        writes = [
            Write(
                "add",
                f"uid=u{n},{PEOPLE}",
                add={**ENTRY, "uid": (b"u%d" % n,), "description": (b"d" * 4000,)},
            )
            for n in range(300)
        ]
        results: list[WriteResult] = []
        with pytest.raises(DirectoryRefused, match="maxsize") as full:
            results.extend(writer.write(writes))
        assert full.value.result == 80
        assert 0 < len(results) < 300
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        stored_writes = [write for write in writes if writer.read(write.dn, ["uid"]) is not None]
        assert stored_writes == [result.write for result in results]


def test_a_missing_right_ends_writing_and_names_the_entry(slapd: PlainSlapd) -> None:
    slapd.kill()
    slapd.configure(f'access to * by dn.base="{CLERK}" write by * read', "access to * by * read")
    slapd.start()
    with open_writer(slapd.settings(), "clerk", password) as writer:
        with pytest.raises(DirectoryRefused, match="uid=alice") as refused:
            list(writer.write([Write("add", ALICE, add=ENTRY)]))
        assert refused.value.result == 50
        assert "ACL" in str(refused.value)


CONSUMER = f'''
syncrepl rid=001 provider=ldap://127.0.0.1:9 type=refreshOnly interval=01:00:00:00 searchbase="{SUFFIX}"
  bindmethod=simple retry="60 +"
updateref ldap://192.0.2.7
'''


@pytest.mark.parametrize(("extra", "words"), [(CONSUMER, "192.0.2.7"), ("readonly on", "unwillingToPerform")])
def test_if_the_first_server_takes_no_writes_no_other_is_tried(extra: str, words: str) -> None:
    with running(extra=extra) as copy, running() as original:
        with pytest.raises(DirectoryUnreachable, match="read-only") as refused:
            with open_writer(copy.settings(), "clerk", password):
                pass
        assert words in str(refused.value)
        both = copy.settings(copy.uri, original.uri)
        with open_reader(both, "clerk", password) as reader:
            assert reader.facts().uri == copy.uri
        with pytest.raises(DirectoryUnreachable, match="read-only"), open_writer(both, "clerk", password):
            pass
        turned = copy.settings(original.uri, copy.uri)
        with open_writer(turned, "clerk", password) as writer:
            assert writer.facts().uri == original.uri
            assert one(writer, Write("add", ALICE, add=ENTRY)).outcome is Outcome.APPLIED


def test_a_write_returns_the_entrycsn_before_and_after_it(slapd: PlainSlapd) -> None:
    def csn() -> bytes:
        entry = writer.read(ALICE, ["entryCSN"])
        return entry.values["entryCSN"][0] if entry else b""

    with open_writer(slapd.settings(), "clerk", password) as writer:
        added = one(writer, Write("add", ALICE, add=ENTRY))
        first = csn()
        assert (added.csn_before, added.csn_after) == (b"", first)
        change = Write("modify", ALICE, delete={"sn": (b"Durand",)}, add={"sn": (b"Bernard",)})
        changed = one(writer, change)
        assert (changed.csn_before, changed.csn_after) == (first, csn())
        assert changed.csn_after > first > b""
        again = one(writer, change)
        assert (again.outcome, again.csn_after) == (Outcome.UNCHANGED, b"")
        gone = one(writer, Write("delete", ALICE, delete={"sn": (b"Bernard",)}))
        assert (gone.outcome, gone.csn_before, gone.csn_after) == (Outcome.APPLIED, b"", b"")


def test_a_write_that_may_not_read_the_entrycsn_is_made_all_the_same(slapd: PlainSlapd) -> None:
    slapd.kill()
    rights = f'access to * by dn.base="{CLERK}" write by * read'
    slapd.configure(rights, f'access to attrs=entryCSN by dn.base="{CLERK}" none by * read\n{rights}')
    slapd.start()
    with open_writer(slapd.settings(), "clerk", password) as writer:
        one(writer, Write("add", ALICE, add=ENTRY))
        change = Write("modify", ALICE, delete={"sn": (b"Durand",)}, add={"sn": (b"Bernard",)})
        result = one(writer, change)
    assert (result.outcome, result.csn_before, result.csn_after) == (Outcome.APPLIED, b"", b"")


def test_after_its_first_write_a_writer_uses_no_other_server() -> None:
    with running() as first, running() as second:
        both = first.settings(first.uri, second.uri)
        with open_writer(both, "clerk", password) as writer:
            assert one(writer, Write("add", ALICE, add=ENTRY)).outcome is Outcome.APPLIED
            first.kill()
            change = Write("modify", ALICE, delete={"sn": (b"Durand",)}, add={"sn": (b"Bernard",)})
            for lost in (
                lambda: one(writer, change),
                lambda: writer.read(ALICE, ["sn"]),
                lambda: list(writer.search(PEOPLE, "(objectClass=*)", ["sn"])),
                writer.facts,
            ):
                with pytest.raises((DirectoryUnreachable, ReplyLost), match="not switch to another one"):
                    lost()
            first.start()  # the same server is not another one
            assert one(writer, change).outcome is Outcome.APPLIED
        with open_reader(second.settings(), "clerk", password) as reader:
            assert reader.read(ALICE, ["sn"]) is None


def test_a_writer_uses_no_other_server_before_its_first_write_either() -> None:
    with running() as first, running() as second:
        with open_writer(first.settings(first.uri, second.uri), "clerk", password) as writer:
            assert writer.read(CLERK, ["cn"]) is not None
            first.kill()
            with pytest.raises(DirectoryUnreachable):
                writer.read(CLERK, ["cn"])
            with pytest.raises(DirectoryUnreachable):
                list(writer.write([Write("add", ALICE, add=ENTRY)]))
        with open_reader(second.settings(), "clerk", password) as reader:
            assert reader.read(ALICE, ["uid"]) is None
