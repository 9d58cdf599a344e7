# Runs a command where the lab's own libvirt is the machine's: in the lab's network, with libvirt's folders replaced. The
# mounts are in a mount namespace of its own and vanish with its last process:
#   nsenter --net=NETNS unshare --mount --propagation=private within.sh FOLDER COMMAND…
set -eu
folder=$1
shift
for pair in etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt run:/run/libvirt; do
    mkdir -p "${pair#*:}" "$folder/${pair%%:*}"
    mount --bind "$folder/${pair%%:*}" "${pair#*:}"
done
# libvirt looks bridges up in /sys, which shows the network of whoever mounted it.
mount -t sysfs sysfs /sys
exec "$@"
