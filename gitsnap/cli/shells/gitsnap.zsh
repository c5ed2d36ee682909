#compdef gitsnap
# Completion of gitsnap for zsh 5 or later.
_gitsnap() {
    local -a answer typed=() values=() texts=() open=() opentexts=()
    local line value shown wide=0
    (( CURRENT > 2 )) && typed=("${(@)words[2,CURRENT-1]}")
    answer=("${(@f)$("${words[1]/#\~\//$HOME/}" __complete zsh "${(@)typed}" "$PREFIX" 2>/dev/null)}")
    case $answer[1] in
        words)
            for line in "${(@)answer[2,-1]}"; do
                value=${line%%$'\t'*}
                (( $#value > wide && $#value <= 60 )) && wide=$#value
            done
            for line in "${(@)answer[2,-1]}"; do
                value=${line%%$'\t'*}
                shown=$value
                [[ $line == *$'\t'?* ]] && shown="${value}${(l:wide-$#value:)}  -- ${line#*$'\t'}"
                if [[ $value == *[/=] ]]; then
                    open+=("$value") opentexts+=("$shown")
                else
                    values+=("$value") texts+=("$shown")
                fi
            done
            local -a many=()
            [[ "$texts$opentexts" == *'  -- '* ]] && many=(-l)
            (( $#values )) && compadd -V gitsnap $many -d texts -a values
            (( $#open )) && compadd -V gitsnap $many -S '' -d opentexts -a open
            ;;
        files)
            [[ $PREFIX == --*=* ]] && compset -P '*='
            _files
            ;;
        directories)
            [[ $PREFIX == --*=* ]] && compset -P '*='
            _files -/
            ;;
        command*)
            local -i first=${answer[1]#command }
            words=("${(@)words[first+2,-1]}")
            (( CURRENT -= first + 1 ))
            _normal
            ;;
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _gitsnap "$@"
else
    compdef _gitsnap gitsnap
fi
