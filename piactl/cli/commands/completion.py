"""`completion`: prints the completion scripts of shells."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.context import put
from piactl.errors import Exit, UsageError

# bash splits words at `=`, and expects suggestions for the part after it
_BASH = """\
# piactl in bash: put into ~/.bashrc:  eval "$(piactl completion bash)"
_piactl() {
    local IFS=$'\\n' found
    COMPREPLY=()
    found=$("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1) || return 0
    if [[ $found == :files ]]; then
        compopt -o filenames 2>/dev/null
        local typed="${COMP_WORDS[COMP_CWORD]}"
        [[ $typed == "=" ]] && typed=
        COMPREPLY=($(compgen -f -- "$typed"))
        return 0
    fi
    COMPREPLY=($found)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _piactl piactl
"""

_ZSH = """\
#compdef piactl
# piactl in zsh: put into ~/.zshrc, after compinit:  eval "$(piactl completion zsh)"
_piactl() {
    local -a found words_only described
    local line
    found=("${(@f)$("${words[1]}" --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -z "${found[*]}" ]] && return 1
    if [[ "${found[1]}" == ":files" ]]; then
        _files
        return
    fi
    for line in "${found[@]}"; do
        words_only+=("${line%%$'\\t'*}")
        if [[ "$line" == *$'\\t'* ]]; then
            described+=("${line%%$'\\t'*}  -- ${line#*$'\\t'}")
        else
            described+=("$line")
        fi
    done
    compadd -l -d described -a -- words_only
}
if [[ "$funcstack[1]" == "_piactl" ]]; then
    _piactl "$@"
else
    compdef _piactl piactl
fi
"""

_FISH = """\
# piactl in fish:  piactl completion fish > ~/.config/fish/completions/piactl.fish
function __piactl_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l found ($words[1] --complete $words[2..-1] -- $last 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path $last
    else
        printf '%s\\n' $found
    end
end
complete -c piactl -f -a '(__piactl_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print the completion script for a shell: commands, options, accounts, services, profiles and runs.

    bash: eval "$(piactl completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, after compinit. fish:
    piactl completion fish > ~/.config/fish/completions/piactl.fish. Accounts are looked up as the reader,
    at most fifty, for at most a sixth of a second; without a directory none are suggested.

    Example: piactl completion bash
    """
    script = SCRIPTS.get(shell.strip().lower())
    if script is None:
        raise UsageError(f"{shell}: unknown shell; use bash, zsh or fish")
    put([script])
    return int(Exit.DONE)
