"""Which codes of a device are good, and which device is meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from piactl.core.credentials.totp_devices import (
    PERIOD,
    WINDOW,
    CodeUsed,
    Device,
    DeviceState,
    clock_words,
    in_force,
    match_code,
    match_pair,
    services_with_code,
    step_at,
    suspended,
    to_verify,
)
from piactl.core.model.account import NO_DEVICE
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.policy import Policy, Service
from piactl.otp_secret import OtpSecret, SealBroken, new_secret, sealed, unsealed

NOW = datetime(2027, 3, 28, 1, 0, 5, tzinfo=UTC)
STEP = step_at(NOW)
SECRET = OtpSecret(b"12345678901234567890")


def device(name: str = "a", **values: object) -> Device:
    return replace(Device(name, DeviceState.VERIFIED, NOW, "t"), **values)  # type: ignore[arg-type]


def test_the_codes_of_rfc_6238() -> None:
    """Appendix B, SHA-1, the last six digits."""
    vectors = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    assert {seconds: SECRET.code(seconds // PERIOD) for seconds in vectors} == vectors


@given(st.integers(-200, 200), st.integers(-6, 6), st.integers(-8, 2))
def test_a_code_is_accepted_once_within_the_window(drift: int, off: int, used: int) -> None:
    authenticator = device(drift=drift, last_step=STEP + drift + used)
    step = STEP + drift + off
    code = SECRET.code(step)
    others = [SECRET.code(STEP + drift + n) for n in range(-WINDOW, WINDOW + 1) if n != off]
    assume(code not in others)
    if abs(off) > WINDOW:
        assert match_code(authenticator, SECRET.code, code, NOW) is None
    elif off <= used:
        with pytest.raises(CodeUsed):
            match_code(authenticator, SECRET.code, code, NOW)
    else:
        match = match_code(authenticator, SECRET.code, code, NOW)
        assert match is not None
        assert (match.step, match.drift) == (step, drift + off)
        again = replace(authenticator, last_step=match.step, drift=match.drift)
        with pytest.raises(CodeUsed):
            match_code(again, SECRET.code, code, NOW)


def test_a_code_of_several_steps_counts_for_the_nearest_unused_step() -> None:
    def same(step: int) -> str:
        return "000000"

    match = match_code(device(last_step=STEP - 2), same, "000000", NOW)
    assert match is not None
    assert match.step == STEP
    match = match_code(device(last_step=STEP), same, "000000", NOW)
    assert match is not None
    assert match.step == STEP + 1


@given(st.integers(-300, 300), st.integers(0, 300))
def test_two_successive_codes_find_a_clock_difference_within_reach(drift: int, reach: int) -> None:
    pair = (SECRET.code(STEP + drift - 1), SECRET.code(STEP + drift))
    match = match_pair(device(), SECRET.code, pair, NOW, reach)
    if abs(drift) <= reach:
        assert match is not None
        assert (match.step, match.drift) == (STEP + drift, drift)
        used = device(last_step=STEP + drift - 1)
        with pytest.raises(CodeUsed):
            match_pair(used, SECRET.code, pair, NOW, reach)
    else:
        assert match is None
    assert match_pair(device(), SECRET.code, (pair[1], pair[0]), NOW, reach) is None


def test_which_device_is_in_force_which_suspended_and_which_to_verify() -> None:
    later = NOW + timedelta(seconds=1)
    old = device("old", verified=NOW)
    new = device("new", state=DeviceState.PENDING, made=later)
    lost = device("lost", state=DeviceState.SUSPENDED, verified=NOW, suspended=later)
    unlinked = device("new", verified=later, made=later)
    assert in_force([old, new], "old") is old
    assert in_force([old, new], NO_DEVICE) is None
    assert to_verify([old], "old") is None
    assert to_verify([old, new], "old") is new
    assert to_verify([old, unlinked], "old") is unlinked
    assert to_verify([old, unlinked], "new") is None, "replaced"
    assert to_verify([lost], NO_DEVICE) is None
    assert to_verify([old], NO_DEVICE) is None, "suspended, but for its mark"
    assert to_verify([lost, unlinked], NO_DEVICE) is unlinked
    assert to_verify([new], "") is new
    assert to_verify([unlinked], "") is unlinked
    assert suspended([lost, new], NO_DEVICE) is lost
    assert suspended([old, new], NO_DEVICE) is old
    assert suspended([new], NO_DEVICE) is None
    assert suspended([old], "old") is None


def test_the_last_use_is_corrected_for_the_clock_of_the_device() -> None:
    assert device().last_use is None
    used = device(last_step=STEP + 40, drift=40).last_use
    assert used is not None
    assert abs(used - NOW) < timedelta(seconds=PERIOD)


def test_services_that_ask_for_a_code() -> None:
    services = {name: Service(name, name, otp=otp) for name, otp in (("a", "always"), ("n", "never"))}
    policy = Policy(services=services)
    rights = [("n", ""), ("a", "0800009A"), ("a", "0800010B"), ("gone", "")]
    assert [service.name for service in services_with_code(rights, policy)] == ["a"]


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        (0, "none"),
        (1, "30 s ahead"),
        (-2, "1 min behind"),
        (121, "1 h 30 s ahead"),
        (-125, "1 h 2 min 30 s behind"),
    ],
)
def test_the_clock_difference_in_words(drift: int, words: str) -> None:
    assert clock_words(drift) == words


def test_a_sealed_secret_opens_only_for_its_own_account_and_device() -> None:
    k1, k2 = DigestKeys("k1", {"k1": b"1" * 32}), DigestKeys("k2", {"k2": b"2" * 32, "k1": b"1" * 32})
    secret = new_secret()
    copy = sealed(secret, k1, "claire", "otp-1")
    assert secret.raw not in copy
    assert copy != sealed(secret, k1, "claire", "otp-1"), "never the same twice"
    assert unsealed(copy, k2, "claire", "otp-1") == secret
    for uid, name in (("ida", "otp-1"), ("claire", "otp-2"), ("clair", "eotp-1")):
        with pytest.raises(SealBroken, match="belongs to another"):
            unsealed(copy, k1, uid, name)
    for offset in range(len(copy)):
        broken = copy[:offset] + bytes([copy[offset] ^ 1]) + copy[offset + 1 :]
        with pytest.raises(SealBroken):
            unsealed(broken, k1, "claire", "otp-1")
    for cut in (0, 4, 10, len(copy) - 1):
        with pytest.raises(SealBroken):
            unsealed(copy[:cut], k1, "claire", "otp-1")
    with pytest.raises(SealBroken, match="key k1"):
        unsealed(copy, DigestKeys("k3", {"k3": b"3" * 32}), "claire", "otp-1")
    assert secret.raw.hex() not in repr(secret)
