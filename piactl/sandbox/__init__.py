"""A private slapd with schema, settings, rights, policy and configuration, for trials and tests."""

from piactl.sandbox.private_server import SandboxStatus, sandbox_status, start_sandbox, stop_sandbox
from piactl.sandbox.rendering import render, render_slapd_conf

__all__ = [
    "SandboxStatus",
    "render",
    "render_slapd_conf",
    "sandbox_status",
    "start_sandbox",
    "stop_sandbox",
]
