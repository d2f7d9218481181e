# Completes `python -m src.train ...` and the other commands. It asks Hydra what could come next; Hydra's own script has no case
# for modules. Where Hydra knows nothing, the value of a key is a path.
_athanor_complete() {
    local line=${COMP_LINE:0:COMP_POINT} words module typed asked found one
    read -ra words <<<"$line"
    module=${words[2]}
    [[ ${words[1]} == -m && $module =~ ^(src|pipelines)\.[a-z_]+$ ]] || return 0
    typed=${line##*[[:space:]]}
    asked=${line#*"$module"}
    case $module:$typed in # keys that exist only with their group
        src.find_lr:finder.*) asked=" +finder=default$asked" ;;
        pipelines.sweep:sweep.*) [[ $asked == *" +sweep="* ]] || asked=" +sweep=default$asked" ;;
    esac
    found=$(COMP_LINE="python src.train.py$asked" "${words[0]}" -m src.train -sc query=bash 2>/dev/null)
    found=${found// /$'\n'}
    if [[ -z $found && $typed == *=* ]]; then
        found=$(compgen -P "${typed%%=*}=" -f -- "${typed#*=}")
        compopt -o filenames 2>/dev/null
    fi
    # readline replaces only what follows the last of its break characters, and the shell's own list of them stays as it is
    local behind=${typed##*[$COMP_WORDBREAKS]}
    local before=${typed%"$behind"}
    COMPREPLY=()
    while IFS= read -r one; do # compgen -W would run what stands in a file's name
        [[ $one == "$typed"* ]] && COMPREPLY+=("${one#"$before"}")
    done <<<"$found"
    return 0
}
complete -o nospace -o default -F _athanor_complete python python3
