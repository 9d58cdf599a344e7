# Runs once, as root, in a machine that Vagrant has made, and makes it a host of the inventory. Before it stand (setup.py):
#   files             prints a compressed tar archive of the host's own files, in base64
#   host              its name
#   nics              its NICs as NAME=MAC, in the order of the inventory
#   login, keys       who may log in by which keys, one a line; no login: the files say it
old=$(cat /etc/machine-id)
files | base64 --decode | tar --extract --gzip --preserve-permissions --same-owner --no-overwrite-dir --directory=/ --file=-
hostname "$host"

if [ -n "$login" ]; then
    if ! id "$login" >/dev/null 2>&1; then
        useradd --create-home --shell /bin/bash "$login"
        printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$login" >"/etc/sudoers.d/hakit-lab-$(echo "$login" | tr . -)"
    fi
    home=$(getent passwd "$login" | cut -d: -f6)
    install -d -m 700 -o "$login" "$home/.ssh"
    touch "$home/.ssh/authorized_keys"
    echo "$keys" | while read -r key; do
        [ -z "$key" ] || grep -qxF "$key" "$home/.ssh/authorized_keys" || echo "$key" >>"$home/.ssh/authorized_keys"
    done
    chown "$login" "$home/.ssh/authorized_keys"
    chmod 600 "$home/.ssh/authorized_keys"
fi

# The NIC with a hardware address.
device() {
    for path in /sys/class/net/*; do
        if [ "$(cat "$path/address")" = "$1" ] && [ ! -e "$path/bonding" ]; then
            basename "$path"
            return
        fi
    done
    echo "this machine has no NIC $1" >&2
    exit 1
}

udevadm control --reload
if [ -e /etc/systemd/network/10-vagrant.link ]; then
    # Vagrant's own NIC has a name that is nobody else's; the others are in nobody's use yet. Two may trade their names.
    number=0
    for nic in $nics; do
        found=$(device "${nic#*=}")
        ip link set "$found" down
        ip link set "$found" name "lab$number"
        number=$((number + 1))
    done
    number=0
    for nic in $nics; do
        ip link set "lab$number" name "${nic%%=*}"
        number=$((number + 1))
    done
    systemctl restart networking.service ssh.service
else
    # Vagrant's own NIC is in use, and has a name that the inventory may give to another: the next boot sorts them out.
    used=$(ip -o route show default | sed 's/.* dev \([^ ]*\).*/\1/;q')
    printf '[Match]\nPermanentMACAddress=%s\n\n[Link]\nName=vagrant0\n' "$(cat "/sys/class/net/$used/address")" \
        >/etc/systemd/network/10-vagrant.link
    printf '\nauto vagrant0\niface vagrant0 inet dhcp\n' >>/etc/network/interfaces
fi

if [ "$old" != "$(cat /etc/machine-id)" ] && [ -d "/var/log/journal/$old" ]; then
    rm -rf "/var/log/journal/$old"
    systemctl restart systemd-journald.service
fi
sync
