#!/usr/bin/env bash
# Runs the lab in namespaces of its own (network, mounts, processes): nothing it sends leaves this machine, and whatever it
# started has ended when it has, also when it is killed. Needs root, iproute2 and /dev/net/tun.
set -euo pipefail
if [ "$(id -u)" != 0 ]; then
  echo "the lab makes network namespaces, for which it has to run as root: sudo make lab" >&2
  exit 1
fi
# The first process of a process namespace has no default signals, and when it ends the kernel ends the others.
exec unshare --net --mount --pid --fork --kill-child --mount-proc bash -c '
  trap "exit 130" INT TERM
  mount -t tmpfs tmpfs /run && mkdir /run/netns
  ip link set lo up
  "$@" &
  wait $!
' lab "$@"
