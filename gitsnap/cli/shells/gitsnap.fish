# Completion of gitsnap for fish 3.1 or later.
function __gitsnap_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $typed[1])
    set -e typed[1]
    set -l answer ($program __complete fish $typed "$current" 2>/dev/null)
    set -l option (string match -r -- '^--[^=]*=' "$current")
    set -l path (string replace -r -- '^--[^=]*=' '' "$current")
    switch "$answer[1]"
        case words
            set -e answer[1]
            printf '%s\n' $answer
        case files
            string replace -r '^' -- "$option" (__fish_complete_path "$path")
        case directories
            string replace -r '^' -- "$option" (__fish_complete_directories "$path" '')
        case 'command *'
            set -l first (math (string replace 'command ' '' -- $answer[1]) + 1)
            set -l rest
            test $first -le (count $typed); and set rest (string escape -- $typed[$first..-1])
            complete -C (string join ' ' -- $rest "$current")
    end
end
complete -c gitsnap -f -k -a '(__gitsnap_complete)'
