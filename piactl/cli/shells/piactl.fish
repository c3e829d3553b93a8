# piactl in fish:  piactl completion fish > ~/.config/fish/completions/piactl.fish
function __piactl_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l found ($words[1] --complete $words[2..-1] -- $last 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path $last
    else
        printf '%s\n' $found
    end
end
complete -c piactl -f -a '(__piactl_complete)'
