# Completion of gitsnap for bash 4.4 or later.
_gitsnap() {
    local -a answer=()
    mapfile -t answer < <("${1/#\~\//$HOME/}" __complete bash "$1" "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    COMPREPLY=()
    case ${answer[0]-} in
        words)
            COMPREPLY=("${answer[@]:1}")
            compopt -o nosort
            [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[/=] ]] && compopt -o nospace
            ;;
        files) compopt -o default ;;
        directories) compopt -o dirnames ;;
        'command '*)
            compopt -o default
            [[ $2 == */* ]] || mapfile -t COMPREPLY < <(compgen -c -- "$2")
            ;;
    esac
}
complete -F _gitsnap gitsnap
