# Completes `python -m src.train ...`, for which Hydra's own script has no case. It asks Hydra what could come next.
_athanor_complete() {
    local words choices
    read -ra words <<<"$COMP_LINE"
    [[ ${words[1]} == -m && ${words[2]} =~ ^src\.[a-z_]+$ ]] || return 0
    choices=$(COMP_LINE="python ${words[2]}.py${COMP_LINE#*"${words[2]}"}" "${words[0]}" -m "${words[2]}" -sc query=bash 2>/dev/null)
    COMPREPLY=($(compgen -W "$choices" -- "${COMP_WORDS[COMP_CWORD]}"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -o nospace -o default -F _athanor_complete python python3
