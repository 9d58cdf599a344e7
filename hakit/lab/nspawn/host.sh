#!/bin/sh
# Runs one host of a lab until it is powered off. Started in the lab's network namespace and in a mount namespace of its
# own, so that its mounts vanish with its last process:
#   nsenter --net=NETNS unshare --mount --propagation=slave host.sh FOLDER IMAGE MACHINE HOSTNAME BRIDGE NIC=CABLE…
# FOLDER/unplugged/CABLE exists while that cable is pulled.
set -eu
folder=$1 image=$2 machine=$3 hostname=$4 bridge=$5
shift 5

# systemd inside must find the unified hierarchy where it looks for it, also on machines that mix both versions.
umount -R /sys/fs/cgroup 2>/dev/null || :
mount -t cgroup2 none /sys/fs/cgroup
mount -t overlay -o "lowerdir=$image,upperdir=$folder/upper,workdir=$folder/work" "$hostname" "$folder/root"

plug() {
    for nic in "$@"; do
        cable=${nic#*=}
        # nspawn makes the cable while it starts (about 30 ms); give up after 10 s, when it has surely failed.
        tries=500
        until ip link set "$cable" master "$bridge" 2>/dev/null; do
            tries=$((tries - 1))
            [ "$tries" -gt 0 ] || return 0
            sleep 0.02
        done
        [ -e "$folder/unplugged/$cable" ] || ip link set "$cable" up
    done
}

options=
for nic in "$@"; do
    options="$options --network-veth-extra=${nic#*=}:${nic%%=*}"
done

# A reboot inside ends nspawn with 133: start it again, as firmware would.
while :; do
    # The kernel removes the cables of the boot before some time after its end: their names must be free now.
    for nic in "$@"; do
        ip link delete "${nic#*=}" 2>/dev/null || :
    done
    plug "$@" &
    code=0
    # shellcheck disable=SC2086 # the options are words: names of NICs hold no space
    systemd-nspawn --quiet --boot --directory="$folder/root" --machine="$machine" --hostname="$hostname" \
        --register=no --keep-unit $options --resolv-conf=off --timezone=off --link-journal=no \
        --console=read-only </dev/null || code=$?
    wait
    [ "$code" = 133 ] || exit "$code"
done
