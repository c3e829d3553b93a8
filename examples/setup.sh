# Sourced by examples/demo and tests/run with `top` set to the checkout. Makes sure that there are a Python
# environment and a slapd, installs what is missing, and sets `python`.
#
# Needs python3 (3.11 or later). On Debian, as root or with sudo, apt installs missing packages; otherwise it
# prints the command to run.

PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
export PIP_DISABLE_PIP_VERSION_CHECK=1

_as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

_install() {  # package...
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; }; then
        echo "Missing packages. Run this as root, then start again:" >&2
        echo "  apt-get update && apt-get install --no-install-recommends $*" >&2
        exit 1
    fi
    echo "Installing $*" >&2
    export DEBIAN_FRONTEND=noninteractive
    # without a configuration the package does not start its own server
    if command -v debconf-set-selections >/dev/null; then
        echo "slapd slapd/no_configuration boolean true" | _as_root debconf-set-selections
    fi
    _as_root apt-get -qq update >&2
    _as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2 </dev/null
}

_has_slapd() {
    local argon2
    local tool
    for tool in slapd slapadd ldapsearch; do
        PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$tool" >/dev/null || return 1
    done
    for argon2 in /usr/lib/ldap/argon2.* /usr/lib/*/ldap/argon2.* /usr/libexec/openldap/argon2.*; do
        [ -e "$argon2" ] && return 0
    done
    return 1
}

_python3() {  # the first python3 of a supported version
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "No python3 of version 3.11 or later was found; install one, then start again." >&2
    return 1
}

_environment() {  # extras, "" or [dev]
    local venv locks wanted found
    venv="${top:?the checkout}/.venv"
    locks=(-r "$top/requirements.lock" -r "$top/requirements-build.lock")
    [ "$1" != "[dev]" ] || locks=(-r "$top/requirements-dev.lock")
    wanted=$(cat "$top/pyproject.toml" "$top"/requirements*.lock | cksum | cut -d' ' -f1)
    found=$(cat "$venv/.piactl" 2>/dev/null || true)
    # the demo can use an environment for the tests too
    if [ -x "$venv/bin/python" ] && { [ "$found" = "$wanted$1" ] || [ "$found" = "$wanted[dev]" ]; }; then
        return
    fi
    # `python3 -m venv .venv` over one that this script finished leaves the mark, but writes pyvenv.cfg after it
    if [ -L "$venv" ] || { [ -e "$venv" ] && [ ! -e "$venv/.piactl" ]; } ||
        { [ -s "$venv/.piactl" ] && [ "$venv/pyvenv.cfg" -nt "$venv/.piactl" ]; }; then
        echo "$venv was not made by this script, so it is left as it is." >&2
        echo "Move it away (mv $venv ${venv%/*}/venv-of-mine) or remove it, then start again." >&2
        exit 1
    fi
    base=$(_python3) || exit 1
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        _install python3-venv
    fi
    rm -rf "$venv"
    # before the rest, so that an environment that remains unfinished is made anew the next time
    mkdir "$venv"
    : > "$venv/.piactl"
    "$base" -m venv "$venv"
    echo "Installing piactl and what it needs into .venv" >&2
    # exactly the locked files, by their hashes
    "$venv/bin/python" -m pip install --quiet --require-hashes "${locks[@]}"
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable "$top"
    echo "$wanted$1" > "$venv/.piactl"
}

_has_slapd || _install slapd ldap-utils slapd-contrib
# jq is for a test that runs the pipe of docs/accounts.md
[ "${extras:-}" != "[dev]" ] || command -v jq >/dev/null || _install jq
_environment "${extras:-}"
python="$top/.venv/bin/python"
