#!/bin/sh
# Lists, checks and brings back the snapshots of a gitsnap sidecar with git, coreutils and a POSIX shell alone.
#
#     sh recover.sh list
#     sh recover.sh check [ID...]
#     sh recover.sh restore ID DIR
#
# It reads the repository that it lies in; `-r REPOSITORY` before the command names another: a mirror, a copy, one that
# snapshots were pushed to. Of many installations in one, `-i HOST/NAME` before the command chooses.
# Nothing is written there, and neither its configuration nor its hooks are read. An ID may be cut short.
# Exit codes: 0 all is there and right, 1 failed, 2 wrong usage, 3 a part is missing or not right; each is named.

set -u
umask 077
LC_ALL=C
TAB='	'
export LC_ALL
unset CDPATH GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_NAMESPACE GIT_PREFIX
unset GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CONFIG GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS GIT_DEFAULT_HASH
unset GIT_REPLACE_REF_BASE GIT_QUARANTINE_PATH GIT_TRACE GIT_TEMPLATE_DIR GIT_LITERAL_PATHSPECS GIT_ICASE_PATHSPECS
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_ATTR_NOSYSTEM=1
export GIT_ALLOW_PROTOCOL=none GIT_NO_LAZY_FETCH=1 GIT_NO_REPLACE_OBJECTS=1 GIT_OPTIONAL_LOCKS=0

status=0
work=

say() { printf '%s\n' "$*"; }
die() {
    printf 'recover.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}
wrong() {
    printf 'recover.sh: %s\n' "$1" >&2
    status=3
}
usage() {
    say 'usage: sh recover.sh [-r REPOSITORY] [-i HOST/NAME] list | check [ID...] | restore ID DIR' >&2
    exit 2
}

# A repository of our own over the objects of that one, with a copy of its refs.
open_repository() {
    [ -d "$1/objects" ] || die "$1 is not a bare git repository"
    repository=$(cd "$1" && pwd -P) || die "$1 cannot be entered"
    work=$(mktemp -d "${TMPDIR:-/tmp}/gitsnap-recover.XXXXXX") || die "no temporary directory can be made"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    git init -q --bare --template= "$work/git" || die "git cannot make a repository in $work"
    rm -rf "$work/git/refs"
    mkdir -p "$work/git/refs"
    [ ! -d "$repository/refs" ] || cp -R "$repository/refs" "$work/git/" 2>/dev/null || wrong "some refs cannot be read"
    [ ! -f "$repository/packed-refs" ] || cp "$repository/packed-refs" "$work/git/" || wrong "packed-refs cannot be read"
    cat >"$work/git/config" <<'END'
[core]
    repositoryformatversion = 0
    bare = true
    filemode = true
    symlinks = true
    ignorecase = false
    precomposeunicode = false
    autocrlf = false
    attributesfile = /dev/null
    hookspath = /dev/null
    bigfilethreshold = 8388608
END
    export GIT_DIR="$work/git" GIT_OBJECT_DIRECTORY="$repository/objects"
    find_refs "$installation"
}

# The installations of a repository that holds many, as HOST/NAME, in the way in which refs name them.
installations() {
    git for-each-ref --format='%(refname)' 'refs/gitsnap/fleet/*/*/snapshots/*' 'refs/tags/gitsnap/fleet/*/*/snapshots/*' |
        while IFS= read -r name; do
            name=${name#*/fleet/}
            say "${name%/snapshots/*}"
        done | sort -u
}

# What snapshots are called there, as $snapshots; the prefix of their texts, as $notes or as $tags: hosts that take
# nothing but branches and tags have these as tags, one for each snapshot. $1 is the installation, or empty.
find_refs() {
    fleet=${1:+fleet/$1/}
    notes=refs/notes/gitsnap/$fleet tags=
    for snapshots in "refs/gitsnap/${fleet}snapshots/" "refs/tags/gitsnap/${fleet}snapshots/"; do
        [ -z "$(git for-each-ref --count=1 "$snapshots" 2>/dev/null)" ] || break
    done
    case $snapshots in
    refs/tags/*) tags=refs/tags/gitsnap/${fleet}notes/ ;;
    esac
    [ -z "$(ids)" ] || return 0
    many=$(installations)
    [ -z "$1" ] || die "there is no installation $1${many:+; there are:
$many}" 2
    [ -z "$many" ] || die "this holds many installations; name one before the command, as -i HOST/NAME:
$many" 2
    die "there are no snapshots in $repository"
}

ids() {
    git for-each-ref --format='%(refname)' "$snapshots" | while IFS= read -r name; do say "${name#"$snapshots"}"; done
}

# The one snapshot that $1 names, as $id.
choose() {
    id=
    for name in $(ids); do
        case $name in
        "$1")
            id=$name
            return
            ;;
        "$1"*)
            [ -z "$id" ] || die "$1 may be $id or $name"
            id=$name
            ;;
        esac
    done
    [ -n "$id" ] || die "there is no snapshot $1; \`list\` shows all"
}

# The value of the trailer $1 in the commit that was read last, as $value.
trailer() {
    value=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        "$1: "*) value=${line#"$1: "} ;;
        esac
    done <"$work/commit"
}

read_commit() {
    if ! commit=$(git rev-parse --verify -q "$snapshots$id^{commit}" 2>/dev/null) ||
        ! git cat-file commit "$commit" >"$work/commit" 2>/dev/null; then
        wrong "$id: its commit is damaged or missing"
        return 1
    fi
}

list() {
    for id in $(ids); do
        read_commit || continue
        trailer Gitsnap-Files
        files=$value
        trailer Gitsnap-Partial
        subject=
        {
            while IFS= read -r line && [ -n "$line" ]; do :; done
            IFS= read -r subject || :
        } <"$work/commit"
        # What somebody has said of it later.
        said=$(git for-each-ref --sort=-committerdate --count=1 --format='%(contents:subject)' \
            "${snapshots%snapshots/}descriptions/$id" 2>/dev/null) || said=
        [ -z "$said" ] || subject=$said
        case $subject in
        *[[:cntrl:]]*) subject=$(say "$subject" | tr '\001-\011\013-\037\177' '?') ;;
        esac
        printf '%s  %8s files  %s%s\n' "$id" "$files" "$subject" "${value:+  ($value paths could not be read then)}"
    done
}

note() {
    if [ -n "$tags" ]; then
        git rev-parse --verify -q "$tags$id:$1"
    else
        git notes --ref="$notes$1" list "$commit"
    fi
}

# The note $1 of the snapshot into $work/$1, against its digest in the commit.
read_text() {
    : >"$work/$1"
    if ! note=$(note "$1" 2>/dev/null) ||
        ! git cat-file blob "$note" >"$work/$1" 2>/dev/null; then
        wrong "$id: its $1 is damaged or missing"
        : >"$work/$1"
        return 1
    fi
    trailer "$2"
    sum=$(sha256sum <"$work/$1")
    [ "${sum%% *}" = "$value" ] || {
        wrong "$id: its $1 is not the one that its commit names"
        return 1
    }
}

# The entries of git's tree $2 into the index, below $1 (as git quotes it). $3 counts levels.
load() {
    if git ls-tree -r "$2" >"$work/tree.$3" 2>/dev/null; then
        while IFS= read -r line; do entry "$1" "$line"; done <"$work/tree.$3" >>"$work/entries"
    elif git ls-tree "$2" >"$work/tree.$3" 2>/dev/null; then
        while IFS= read -r line; do
            case $line in
            *' tree '*)
                object=${line%%"$TAB"*}
                name=${line#*"$TAB"}
                name=${name#\"}
                load "$1${name%\"}/" "${object##* }" "$(($3 + 1))"
                ;;
            *) entry "$1" "$line" >>"$work/entries" ;;
            esac
        done <"$work/tree.$3"
    else
        wrong "$id: the directory \"$1\" is damaged or missing, with all that is in it"
    fi
}
entry() {
    name=${2#*"$TAB"}
    name=${name#\"}
    printf '%s\t"%s%s"\n' "${2%%"$TAB"*}" "$1" "${name%\"}"
}

# All files and symlinks of the snapshot into the directory $1, under their own names.
extract() {
    GIT_INDEX_FILE="$work/index"
    export GIT_INDEX_FILE
    rm -f "$work/index"
    : >"$work/entries"
    if git ls-tree -r -z "$commit" >"$work/tree" 2>/dev/null; then
        git update-index -z --index-info <"$work/tree" || die "git cannot read its own listing"
    else
        load '' "$commit^{tree}" 0
        git update-index --index-info <"$work/entries" || die "git cannot read its own listing"
    fi
    if (cd "$1" && GIT_WORK_TREE=. git checkout-index -a -f 2>/dev/null); then
        decode "$1"
    else
        # git stops at the first that it cannot read, or whose name is too long while it is encoded.
        decode "$1"
        git ls-files -s >"$work/tree"
        while IFS= read -r line; do extract_one "$1" "$line"; done <"$work/tree"
    fi
}

# The file or symlink of one line of `git ls-files -s` into $1, where it is not there yet.
extract_one() {
    object=${2#* }
    object=${object%% *}
    unquote "${2#*"$TAB"}"
    path=$1
    while :; do
        plain_name "${name%%/*}"
        path=$path/$plain
        case $name in
        */*) name=${name#*/} ;;
        *) break ;;
        esac
    done
    [ ! -e "$path" ] && [ ! -L "$path" ] || return 0
    mkdir -p "${path%/*}"
    if ! git cat-file blob "$object" >"$work/content" 2>/dev/null; then
        wrong "$id: .${path#"$1"} is damaged or missing"
        return
    fi
    case $2 in
    120000*)
        content=$(cat "$work/content" && printf .)
        ln -s "${content%.}" "$path"
        ;;
    *) cp "$work/content" "$path" ;;
    esac || wrong "$id: .${path#"$1"} cannot be written"
}

# The name that git writes as $1, perhaps in quotes, as $name.
unquote() {
    name=$1
    case $name in
    \"*) quoted=${name#\"} name= ;;
    *) return ;;
    esac
    quoted=${quoted%\"}
    while :; do
        case $quoted in
        *\\*) ;;
        *) break ;;
        esac
        name=$name${quoted%%\\*}
        quoted=${quoted#*\\}
        case $quoted in
        [0-7]*) name=$name\\0 ;;
        \"*) ;;
        \\*)
            name=$name\\\\
            quoted=${quoted#?}
            ;;
        *) name=$name\\ ;;
        esac
    done
    name=$(printf '%b.' "$name$quoted")
    name=${name%.}
}

# The name $1 as it was before its first byte, or that of a part after a backslash, was percent-encoded, as $plain.
plain_name() {
    rest=$1
    plain=
    while :; do
        part=${rest%%\\*}
        case $part in
        %[0-9A-F][0-9A-F]*)
            after=${part#???}
            code=${part#%}
            byte=$(printf "\\$(printf '%03o' "0x${code%"$after"}")x")
            plain=$plain${byte%x}$after
            ;;
        *) plain=$plain$part ;;
        esac
        case $rest in
        *\\*)
            plain=$plain\\
            rest=${rest#*\\}
            ;;
        *) return ;;
        esac
    done
}

# What is below $1 gets its names back. All of a directory's names wait apart first: `%252Egit` becomes `%2Egit`.
decode() {
    for path in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -d "$path" ] && [ ! -L "$path" ]; then
            decode "$path"
        fi
    done
    apart=
    for path in "$1"/%[0-9A-F][0-9A-F]* "$1"/*\\%[0-9A-F][0-9A-F]* "$1"/.*\\%[0-9A-F][0-9A-F]*; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        [ -n "$apart" ] || apart=$(mktemp -d "$1/.gitsnap-recover.XXXXXX") || die "$1 cannot be written"
        plain_name "${path##*/}"
        mv "$path" "$apart/$plain" || die "$path cannot be renamed"
    done
    [ -n "$apart" ] || return 0
    for path in "$apart"/* "$apart"/.[!.]* "$apart"/..?*; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        mv "$path" "$1/" || die "$path cannot be renamed"
    done
    rmdir "$apart"
}

# Every file of the manifest in the directory $1 has its digest.
check_contents() {
    (cd "$1" && sha256sum --strict --quiet -c "$work/manifest" >&2 2>/dev/null)
}

# What mtree writes as $1, as $text.
unescape() {
    text=$1
    case $text in
    *\\*) ;;
    *) return ;;
    esac
    escaped=$text text=
    while :; do
        case $escaped in
        *\\*)
            text=$text${escaped%%\\*}\\0
            escaped=${escaped#*\\}
            ;;
        *) break ;;
        esac
    done
    text=$(printf '%b.' "$text$escaped")
    text=${text%.}
}

# The path that mtree writes as $1, as $path. Fails where it leads elsewhere.
place() {
    unescape "$1"
    path=$text
    case $path in
    .) return 0 ;;
    */../* | */.. | */./*) false ;;
    ./?*) no_link "${path%/*}" ;;
    *) false ;;
    esac || {
        wrong "$id: the metadata leads outside: $1"
        return 1
    }
}
# That no component of $1 is a symlink, which somebody may have made to have other files changed.
no_link() {
    [ "$1" != "$looked_at" ] || return 0
    above=$1
    while [ "$above" != . ]; do
        [ ! -L "$above" ] || return 1
        above=${above%/*}
    done
    looked_at=$1
}

failed() { wrong "$id: $1"; }

# Puts one value on many paths at a time: `together COMMAND VALUE PATH` runs `COMMAND VALUE PATH...` when either changes.
flush() {
    [ "$#" -lt 1 ] || $many "$same" "$@" || failed "not everything could get its $what ($same)"
}

set_owners() {
    [ "$(id -u)" = 0 ] || {
        me=$(id -u)
        while read -r path type mode uid more; do
            case $path in
            .*) [ "${uid#uid=}" = "$me" ] || others=yes ;;
            esac
        done <"$work/metadata"
        [ -z "$others" ] || failed "what belongs to others is yours now: only root can give it back"
        return
    }
    what=owner many='chown -h' same=
    set --
    while read -r name type mode uid gid more; do
        case $name in
        .*) place "$name" || continue ;;
        *) continue ;;
        esac
        [ -e "$path" ] || [ -L "$path" ] || continue
        if [ "$same" != "${uid#uid=}:${gid#gid=}" ] || [ "$#" -gt 99 ]; then
            flush "$@"
            set --
            same=${uid#uid=}:${gid#gid=}
        fi
        set -- "$@" "$path"
    done <"$work/metadata"
    flush "$@"
}

# Modes of what the list $1 names. A directory's comes after those in it: it may keep us out.
set_modes() {
    what=mode many=chmod same=
    list=$1
    set --
    while read -r name type mode more; do
        [ "$type" != type=link ] || continue
        place "$name" || continue
        [ -e "$path" ] && [ ! -L "$path" ] || continue
        if [ "$same" != "${mode#mode=}" ] || [ "$#" -gt 99 ]; then
            flush "$@"
            set --
            same=${mode#mode=}
        fi
        set -- "$@" "$path"
    done <"$list"
    flush "$@"
}

set_times() {
    what=time many='touch -h -m -d' same=
    list=$1
    set --
    while read -r name type more; do
        case $more in
        *time=*) ;;
        *) continue ;;
        esac
        place "$name" || continue
        [ -e "$path" ] || [ -L "$path" ] || continue
        time=${more##*time=}
        time=${time%% *}
        case $time in
        -*.000000000) ;;
        # Seconds are rounded down and nanoseconds added; touch reads a sign for the whole.
        -*) time=-$((-1 - ${time%.*})).$(printf '%09d' $((2000000000 - 1${time#*.}))) ;;
        esac
        if [ "$same" != "@$time" ] || [ "$#" -gt 99 ]; then
            flush "$@"
            set --
            same=@$time
        fi
        set -- "$@" "$path"
    done <"$list"
    flush "$@"
}

# What git's trees do not have: empty directories, FIFOs, devices.
make_special() {
    while read -r name type mode uid gid more; do
        case $type in
        type=dir | type=fifo | type=char | type=block) place "$name" || continue ;;
        *) continue ;;
        esac
        device=${more##*device=native,}
        device=${device%% *}
        case $type in
        type=dir) [ -d "$path" ] || mkdir -p "$path" ;;
        type=fifo) mkfifo "$path" ;;
        type=char) mknod "$path" c "${device%,*}" "${device#*,}" ;;
        type=block) mknod "$path" b "${device%,*}" "${device#*,}" ;;
        esac || failed "$path could not be made"
    done <"$work/metadata"
}

make_sparse_and_linked() {
    while read -r hash kind name others; do
        case $hash$kind in
        '#sparse')
            place "$name" && [ -f "$path" ] && [ ! -L "$path" ] || continue
            fallocate --dig-holes "$path" 2>/dev/null || :
            ;;
        '#hardlink')
            place "$name" || continue
            first=$path
            for name in $others; do
                # A symlink to a directory is replaced, and nothing is made in there.
                place "$name" && ln -f -n "$first" "$path" || failed "$path is a file of its own, not a name of $first"
            done
            ;;
        esac
    done <"$work/metadata"
}

set_attributes() {
    lacking=0
    while read -r hash kind name value; do
        [ "$hash$kind" = '#xattr' ] || continue
        place "$name" || continue
        unescape "${value%%=*}"
        value=${value#*=}
        # Only without -v can it be empty.
        setfattr -h -n "$text" ${value:+-v "0s$value"} "$path" 2>/dev/null || lacking=$((lacking + 1))
    done <"$work/metadata"
    [ "$lacking" = 0 ] || failed "$lacking extended attributes could not be set (setfattr sets them, where it is)"
}

restore_metadata() {
    looked_at= others=
    list_entries
    make_special
    make_sparse_and_linked
    set_owners
    set_attributes
    set_modes "$work/others"
    set_times "$work/others"
    set_modes "$work/directories"
    set_times "$work/directories"
}
# Directories, the deepest first, and what is not one. Each path but the root's has a slash.
list_entries() {
    while IFS= read -r line; do
        case $line in
        '. type=dir '* | './'*' type=dir '*) say "$line" >&3 ;;
        './'*) say "$line" ;;
        esac
    done <"$work/metadata" >"$work/others" 3>"$work/forwards"
    tac "$work/forwards" >"$work/directories"
}

tell_missing() {
    while read -r hash kind name rest; do
        case $hash$kind in
        '#partial') failed "$name could not be read when the snapshot was taken" ;;
        esac
    done <"$work/metadata"
}

check() {
    before=$status
    status=0
    read_commit || return
    whole=yes
    read_text manifest Gitsnap-Manifest-SHA256 || whole=
    read_text metadata Gitsnap-Metadata-SHA256 || :
    mkdir "$work/contents" || die "no room in $work"
    extract "$work/contents"
    if [ -n "$whole" ]; then
        check_contents "$work/contents" || wrong "$id: these files are missing or not right"
    fi
    rm -rf "$work/contents"
    [ "$status" != 0 ] || say "$id is whole"
    [ "$status" != 0 ] || status=$before
}

restore() {
    if [ -e "$1" ] || [ -L "$1" ]; then
        for path in "$1"/* "$1"/.[!.]* "$1"/..?*; do
            [ ! -e "$path" ] && [ ! -L "$path" ] || die "$1 is not empty: restore into an empty directory, or a new one" 2
        done
        [ -d "$1" ] || die "$1 is not a directory" 2
    fi
    mkdir -p "$1" || die "$1 cannot be made"
    cd "$1" || die "$1 cannot be entered"
    target=$(pwd -P)
    read_commit || exit 1
    read_text manifest Gitsnap-Manifest-SHA256 || :
    read_text metadata Gitsnap-Metadata-SHA256 || :
    extract "$target"
    cd "$target" || die "$target is gone"
    check_contents . || failed "these files are missing or not right"
    restore_metadata
    tell_missing
    if [ "$status" = 0 ]; then
        say "$id is in $target; every file has the SHA-256 that the manifest names"
    else
        say "$id is in $target but for what is named above" >&2
    fi
}

case $0 in
*/*) here=${0%/*} ;;
*) here=. ;;
esac
installation=
while :; do
    case ${1-} in
    -r) [ "$#" -gt 2 ] && here=$2 || usage ;;
    -i) [ "$#" -gt 2 ] && installation=$2 || usage ;;
    *) break ;;
    esac
    shift 2
done
command=${1-}
[ "$#" -lt 1 ] || shift
case $command in
list)
    [ "$#" = 0 ] || usage
    open_repository "$here"
    list
    ;;
check)
    open_repository "$here"
    # An id has no character that the shell would take for more than itself.
    [ "$#" -gt 0 ] || set -- $(ids)
    for wanted in "$@"; do
        choose "$wanted"
        check
    done
    ;;
restore)
    [ "$#" = 2 ] || usage
    open_repository "$here"
    choose "$1"
    restore "$2"
    ;;
*) usage ;;
esac
exit "$status"
