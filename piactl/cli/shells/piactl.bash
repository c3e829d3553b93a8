# piactl in bash: put into ~/.bashrc:  eval "$(piactl completion bash)"
# bash splits words at `=`, and expects suggestions for the part after it
_piactl() {
    local IFS=$'\n' found
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
