#!/usr/bin/env bash
# Runs a command in a network namespace of its own, with one address beside loopback (BENCH_ADDRESS): nothing it sends
# leaves this machine. Needs root and iproute2.
set -euo pipefail
name="roomful-bench-$$"
ip netns add "$name"
trap 'ip netns del "$name"' EXIT
ip -n "$name" link set lo up
ip -n "$name" link add one type veth peer name other
ip -n "$name" addr add 10.77.0.1/24 dev one
ip -n "$name" link set one up
ip -n "$name" link set other up
# What is measured has the first core, and the load the others: else each waits for the other's turns to end.
if [ "$(nproc)" -gt 1 ]; then
  export BENCH_CORE=0
  set -- taskset --cpu-list "1-$(($(nproc) - 1))" "$@"
fi
BENCH_ADDRESS=10.77.0.1 ip netns exec "$name" "$@"
