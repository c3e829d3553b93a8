# Puts the run lock into the access rules of an earlier piactl: the rules let the holder of the lock write accounts and
# records where they let the nightly identity write before. docs/upgrade-directory.md shows its use.
#
#   awk -v nightly=DN -v administrator=DN -v desk=DN -v reader=DN -v state=DN -f run-lock.awk RULES
#
# RULES is a slapd.conf, or olcAccess and olcLimits with one `by` on each line. Other lines stay as they are.

BEGIN {
    lock = "\"cn=lock," state "\""
    holder = "  by group/piactlRunLock/piactlWriter.exact=" lock " "
    others = "  by dn.exact=\"" desk "\" read\n  by dn.exact=\"" reader "\" read\n  by * none"
    own = "  by dn.subtree=\"" nightly "\" "
    full = "  by dn.exact=\"" administrator "\" write\n"
}

# the identity of each host is an entry below the former common one
{ gsub(/dn\.base=/, "dn.exact=") }
/^(olcLimits: |limits )/ {
    at = index($0, "dn.exact=\"" nightly "\"")
    if (at) $0 = substr($0, 1, at - 1) "dn.subtree" substr($0, at + length("dn.exact"))
}
/^(olcAccess: to|access to) / {
    rule = $0
    word = $1 == "access" ? "access to" : "olcAccess: to"
    if (index(rule, "dn.subtree=\"" state "\"")) {
        print word " dn.exact=" lock " attrs=piactlWriter val.subtree=\"" nightly "\""
        print full own "write\n" others
        print word " dn.exact=" lock " attrs=piactlWriter"
        print full own "=zrscd\n" others
        print word " dn.exact=" lock
        print full own "write\n" others
        print word " dn.exact=\"" state "\" attrs=children"
        print full own "write\n" others
    }
}
{
    was = "  by dn.exact=\"" nightly "\" "
    if (substr($0, 1, length(was)) != was) { print; next }
    level = substr($0, length(was) + 1)
    if (level == "read" || index(rule, "ou=attempts,")) { print own level; next }
    print holder level
    # of a password nothing may be read, not even by the one that takes it away
    if (level != "=z") print own "read"
}
