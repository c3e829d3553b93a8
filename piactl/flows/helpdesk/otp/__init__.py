"""One-time-code devices: enrolled, verified, suspended, given back, removed, resynchronised; and the check of
a code wherever piactl itself has one to check.

The order of the writes is what keeps an account safe in a crash: a code is used up before it has any effect,
the link of the account moves in one write from the old device to the new one, and what nothing links to any
more is deleted last. At no point between is an account that had a device open to the password alone, unless
that is what was asked for.
"""

from piactl.flows.helpdesk.otp.device_changes import (
    Enrolment,
    EnrolmentDelivery,
    prepare_removal,
    prepare_resumption,
    prepare_resync,
    prepare_suspension,
    prepare_verification,
)
from piactl.flows.helpdesk.otp.devices import devices_shown
from piactl.flows.helpdesk.otp.use_up_code import Checked, CodeOutcome, use_code

__all__ = [
    "Checked",
    "CodeOutcome",
    "Enrolment",
    "EnrolmentDelivery",
    "devices_shown",
    "prepare_removal",
    "prepare_resumption",
    "prepare_resync",
    "prepare_suspension",
    "prepare_verification",
    "use_code",
]
