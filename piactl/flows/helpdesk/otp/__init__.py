"""One-time-code devices: enrolled, verified, suspended, resumed, removed, resynchronised; and the check of
codes that piactl makes itself.

The order of the writes keeps an account safe in a crash: a code is used up before it has any effect, one
write moves the link of the account from the old device to the new one, and what no account links to is
deleted last. At no point in between can an account that had a device be opened by the password alone, unless
that was requested.
"""
