# Runs inside a machine that begins as a copy of a frozen one, when its NICs are plugged in: brings network and sshd up.
#   network.sh NIC...
set -eu
for nic in "$@"; do
    # The kernel finds a NIC some tenths of a second after it was plugged in; give up after a minute, when it is lost.
    tries=600
    until [ -e "/sys/class/net/$nic" ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "NIC $nic does not appear" >&2; exit 1; }
        sleep 0.1
    done
done
udevadm settle
systemctl restart networking.service
systemctl start ssh.service
sync
