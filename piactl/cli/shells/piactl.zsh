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
        words_only+=("${line%%$'\t'*}")
        if [[ "$line" == *$'\t'* ]]; then
            described+=("${line%%$'\t'*}  -- ${line#*$'\t'}")
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
