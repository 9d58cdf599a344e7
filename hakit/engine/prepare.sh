# Runs on a host as root: tells what the host lacks to be managed by hakit, or brings it.
#
# It is sent on stdin to `sh -s` behind a line that sets its arguments: look|make TOKEN USER SUDOERS KEY CHECK [STEP ...].
# Each line of its answer is TOKEN, a kind and a text: what a login shell prints besides is not mistaken for it. Every step
# may be done again.
#
#   USER     who is to manage the host
#   SUDOERS  the file that lets USER become root
#   KEY      a public key as authorized_keys(5) wants it, without options; empty: none is to be put there
#   CHECK    a program for Python that prints "ok VERSION" or what is wrong with this Python

say() {
    printf '%s %s %s\n' "$token" "$1" "$2"
}

fail() {
    say fail "$1"
    [ -z "${2-}" ] || printf '%s\n' "$2" | tail -n 8 | while IFS= read -r line; do say tail "$line"; done
    exit 1
}

entry() {
    getent passwd "$user"
}

# Without options and comment, as it stands in a line of the file.
bare_key() {
    printf '%s\n' "$key" | cut -d ' ' -f 1,2
}

has_key() {
    file=$1/.ssh/authorized_keys
    [ -f "$file" ] && grep -v '^[[:space:]]*#' "$file" | grep -qF "$(bare_key)" || return 1
    # sshd (StrictModes) takes no keys from what others may write.
    [ -z "$(find -H "$1" "$1/.ssh" "$file" -maxdepth 0 \( -perm /022 -o ! -user root ! -user "$user" \))" ]
}

look() {
    say uid "$(id -u)"
    os=/etc/os-release
    [ -r "$os" ] || os=/usr/lib/os-release
    [ ! -r "$os" ] || while IFS= read -r line || [ -n "$line" ]; do say os "$line"; done <"$os"
    [ ! -d /run/systemd/system ] || say systemd yes
    if [ -x /usr/bin/python3 ]; then
        say python "$(/usr/bin/python3 -I -S -E -c "$check" 2>&1 | tail -n 1)"
    else
        say python missing
    fi
    if command -v sudo >/dev/null && command -v visudo >/dev/null; then say sudo yes; fi
    if home=$(entry | cut -d : -f 6) && [ -n "$home" ]; then
        say account "$(entry)"
        if [ -n "$key" ] && has_key "$home"; then say key yes; fi
        if [ "$user" = root ] || runuser -u "$user" -- sudo -n true >/dev/null 2>&1; then say root yes; fi
    fi
    say end ok
}

# apt-get, once nobody else is at it; its output is in $log.
apt() {
    began=$(date +%s) said=-9
    while :; do
        apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
            -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=1 "$@" >"$log" 2>&1 && return
        if grep -q 'Could not get lock\|is another process using it' "$log"; then
            waited=$(($(date +%s) - began))
            holder=$(grep -o -m 1 'held by process [0-9]* ([^)]*)' "$log" || echo 'held by another process')
            [ "$waited" -lt "$patience" ] || fail "apt's lock is $holder for $waited s" "$(cat "$log")"
            if [ $((waited - said)) -ge 5 ]; then
                said=$waited
                say wait "waiting for apt's lock, $holder, for $waited s; at most $((patience / 60)) min"
            fi
            sleep 1
        elif [ -z "$configured" ] && grep -q 'dpkg --configure -a' "$log"; then
            configured=yes
            say note "dpkg was interrupted before: completing it"
            dpkg --configure -a --force-confdef --force-confold >"$log" 2>&1 || fail "dpkg can't be completed" "$(cat "$log")"
        else
            return 1
        fi
    done
}

packages() {
    apt install --no-install-recommends -- "$@" && return
    if grep -q 'Unable to locate\|no installation candidate\|has no candidate\|Failed to fetch\|Unmet dep\|unmet dep' "$log"
    then
        say note "reading the package lists"
        apt update
        unreached=$(grep -m 1 'Failed to fetch\|Temporary failure\|Could not connect\|Could not resolve' "$log")
        apt install --no-install-recommends -- "$@" && return
        [ -z "$unreached" ] || fail "apt reaches no package source to install $* from" "$unreached"
    fi
    fail "apt can't install $*" "$(grep '^[EW]: ' "$log" || cat "$log")"
}

make_python() {
    packages python3
    state=$(/usr/bin/python3 -I -S -E -c "$check" 2>&1 | tail -n 1)
    case $state in
    ok*) say done "installed Python ${state#ok }" ;;
    *) fail "/usr/bin/python3 is not fit for hakit although the package python3 is installed: $state" ;;
    esac
}

make_sudo() {
    packages sudo
    say done "installed sudo"
}

make_user() {
    if ! entry >/dev/null; then
        group=--user-group
        if getent group "$user" >/dev/null; then group="--gid=$user"; fi
        shell=/bin/sh
        if [ -x /bin/bash ]; then shell=/bin/bash; fi
        # No password fits "*", but unlike "!" it does not lock the account: sshd without PAM lets keys in.
        said=$(useradd --create-home --shell "$shell" --password '*' "$group" "$user" 2>&1) ||
            fail "useradd can't make the user $user" "$said"
    fi
    say done "made the user $user"
}

# As the user itself, so that no link in its home leads us elsewhere.
add_key='
umask 077
folder=$1/.ssh file=$1/.ssh/authorized_keys
mkdir -p "$folder" && chmod go-w "$1" "$folder" || exit
{
    if [ -f "$file" ]; then sed -e "\$a\\" "$file" || exit; fi
    if ! grep -v "^[[:space:]]*#" "$file" 2>/dev/null | grep -qF "$3"; then printf "%s\n" "$2"; fi
} >"$file.hakit" && mv "$file.hakit" "$file"
'

make_key() {
    home=$(entry | cut -d : -f 6)
    [ -d "$home" ] || install -d -m 700 -o "$user" -g "$(entry | cut -d : -f 4)" "$home" || fail "$home can't be made"
    chown -h "$user" "$home/.ssh" "$home/.ssh/authorized_keys" 2>/dev/null
    said=$(runuser -u "$user" -- /bin/sh -c "$add_key" sh "$home" "$key" "$(bare_key)" 2>&1) ||
        fail "$home/.ssh/authorized_keys can't be written" "$said"
    say done "put the key into $home/.ssh/authorized_keys"
}

make_sudoers() {
    staged=/etc/sudoers.d/.hakit.$$ # sudo reads no file with a dot in its name
    before=/etc/sudoers.d/.hakit.before.$$
    rm -f "$staged"
    (
        umask 337
        printf '%s\n' "# hakit: this user manages the host." "Defaults:$user !requiretty" \
            "$user ALL=(ALL:ALL) NOPASSWD: ALL" >"$staged"
    ) || fail "$staged can't be written"
    said=$(visudo -c -f "$staged" 2>&1) || {
        rm -f "$staged"
        fail "visudo refuses what hakit would write for $user" "$said"
    }
    fine=yes
    said=$(visudo -c 2>&1) || {
        fine=no
        say note "visudo finds an error that was there before: $(printf '%s\n' "$said" | head -n 1)"
    }
    [ ! -e "$sudoers" ] || cp -p "$sudoers" "$before"
    mv -f "$staged" "$sudoers"
    said=$(visudo -c 2>&1) || [ "$fine" = no ] || {
        if [ -e "$before" ]; then mv -f "$before" "$sudoers"; else rm -f "$sudoers"; fi
        fail "visudo finds an error in sudoers; $sudoers is as it was" "$said"
    }
    rm -f "$before"
    said=$(runuser -u "$user" -- sudo -n true 2>&1) ||
        fail "$user can't become root although $sudoers says so: does /etc/sudoers read that folder?" "$said"
    say done "let $user become root in $sudoers"
}

main() {
    mode=$1 token=$2 user=$3 sudoers=$4 key=$5 check=$6
    shift 6
    export LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
    umask 022
    patience=900 configured='' # seconds that another apt is waited for
    cd /
    if [ "$mode" = look ]; then
        look
        return
    fi
    log=$(mktemp) || fail "no temporary file can be made on the host"
    trap 'rm -f "$log"' EXIT
    for step; do
        say begin "$step"
        "make_$step"
    done
    say end ok
}

main "$@" </dev/null
exit
