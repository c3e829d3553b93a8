"""What a run would write and the schema of the server refuses: found before the first write."""

from __future__ import annotations

from piactl.core.model.settings import DirectorySettings
from piactl.directory.port import EntryWrite, Writer
from piactl.directory.probe.subschema import lacking, read_subschema
from piactl.errors import SchemaLacking
from piactl.flows.plan.ready_plan import Writes


def require_schema(writer: Writer, directory: DirectorySettings, writes: Writes) -> None:
    """Raises SchemaLacking where the schema lacks a class or an attribute that one of the writes adds. A
    schema that may not be read requires nothing."""
    schema = read_subschema(writer.read, writer.facts().subschema) if len(writes) else None
    missing = lacking(schema, directory.attributes) if schema is not None else {}
    if not missing:
        return
    refused = {name: why for row in writes for name, why in missing.items() if _adds(row.write, name)}
    if refused:
        raise SchemaLacking(
            f"the server would refuse writes of this run: {'; '.join(sorted(refused.values()))}. Nothing was "
            "changed.\nLoad the files of schemas/ldap (docs/upgrade-directory.md); see piactl doctor, D16."
        )


def _adds(write: EntryWrite, name: str) -> bool:
    return name in write.add or name.encode() in write.add.get("objectClass", ())
