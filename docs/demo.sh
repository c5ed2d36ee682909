#!/bin/sh
# An upgrade that breaks a small installation, and the way back. `make demo` runs this; it needs gitsnap on the PATH.
# Everything happens in a temporary directory that is removed at the end. Exits 1 when the way back was not exact.
set -eu

command -v gitsnap >/dev/null || { echo "gitsnap is not on the PATH: run 'make demo'" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/gitsnap-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$work"
unset GITSNAP_STORE
export GITSNAP_HOME="$work/store"

say() { printf '\n# %s\n' "$*"; }
run() { printf '\n$ %s\n' "$1"; eval "$1"; }
fails() { run "$1" && { echo "this should have failed" >&2; exit 1; }; printf '(exit code %s)\n' "$?"; }

build_app() {
    mkdir -p app/bin app/modules app/config app/spool/incoming app/plugins/theme
    cat >app/bin/shop <<'APP'
#!/bin/sh
here=$(dirname "$0")/..
. "$here/modules/greet.sh"
greet "$(cat "$here/current")"
APP
    chmod 755 app/bin/shop
    echo 'greet() { echo "shop $1 is open"; }' >app/modules/greet.sh
    echo 'total() { echo $(($1 + $2)); }' >app/modules/cart.sh
    printf 'currency = EUR\nport = 8080\n' >app/config/shop.ini
    echo 'a private key' >app/config/signing.key
    chmod 600 app/config/signing.key
    echo '1.9' >app/release-1.9
    ln -s release-1.9 app/current
    echo 'colour: blue' >app/plugins/theme/theme.css
    nested init -q
    nested add theme.css
    nested -c user.name=demo -c user.email=demo@example.org commit -q -m 'the theme'
}

nested() { GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -C app/plugins/theme "$@"; }

write_upgrade() {
    cat >upgrade.sh <<'UPGRADE'
cd app
echo '2.0' >release-2.0
ln -sfn release-2.0 current
rm release-1.9 modules/greet.sh
mkdir modules/v2
echo 'welcome() { echo "shop $1 is open"; }' >modules/v2/welcome.sh
sed 's/8080/80/' config/shop.ini >config/shop.new && mv config/shop.new config/shop.ini
chmod 644 config/signing.key
rm -r spool
rm -rf plugins/theme/.git
UPGRADE
}

# Type, permissions, owner and name of everything below $1: what diff -r leaves out.
listing() { (cd "$1" && find . -exec ls -ldn {} \; | awk '{ print $1, $3, $4, $9 }' | LC_ALL=C sort); }

# Prints what differs between app and the copy from before; prints nothing where they are the same.
compare() {
    if rsync -aHAX --version >/dev/null 2>&1; then
        run 'rsync -aHAXn --checksum --delete --itemize-changes before/ app/ >differences'
    else
        run 'diff -r before app >differences' || true
        listing before >before.list
        listing app >app.list
        diff before.list app.list >>differences || true
    fi
    cat differences
}

build_app
write_upgrade
say 'A small shop: configuration, modules, an executable, an empty directory, a repository inside, a private key.'
run 'cp -a app before'
run 'app/bin/shop'

say 'Take a snapshot, then upgrade.'
run 'gitsnap -C app snapshot -m "before 2.0"'
run 'cat upgrade.sh'
run 'sh upgrade.sh'
fails 'app/bin/shop'

say 'What did it change?'
run 'gitsnap -C app status'
run 'gitsnap -C app diff --stat'

say 'Bring it back.'
run 'gitsnap -C app rollback latest --yes'
run 'app/bin/shop'
run 'gitsnap -C app verify latest'

say 'Is it what it was? The copy from before the upgrade knows.'
compare
if [ -s differences ]; then
    printf '\nNOT identical: the lines above tell what differs.\n'
    exit 1
fi
printf '\nIdentical: app is exactly what it was before the upgrade.\n'
