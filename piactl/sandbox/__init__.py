"""A private slapd with schema, settings, rights, policy and configuration, for trials and tests."""

from piactl.sandbox.folder import render, render_slapd_conf
from piactl.sandbox.server import SandboxStatus, private_server, sandbox_status, start_sandbox, stop_sandbox

__all__ = [
    "SandboxStatus",
    "private_server",
    "render",
    "render_slapd_conf",
    "sandbox_status",
    "start_sandbox",
    "stop_sandbox",
]
