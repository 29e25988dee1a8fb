#!/usr/bin/env bash
# How many instructions each server (paths to builds of `roomful`, the first is what the others are held against) takes for a packet
# that it forwards. Unlike computing time, that does not depend on what else the machine does: it tells 1 % apart.
#
# Each runs under callgrind with a publisher at 1 Mbit/s and 16 viewers, for 15 and for 45 s; what the longer run takes more, over
# the packets that came more, is a packet's. The load is that of the newest of them. Needs valgrind and python3.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 path/to/roomful..." >&2; exit 1; }
load=${!#}
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$folder"' EXIT
export ROOMFUL_MEDIA__WORKERS=1 ROOMFUL_LIMITS__CALLS_PER_SECOND=0 ROOMFUL_LOG__LEVEL=warn

# Instructions and packets of a run: run BINARY SECONDS
run() {
  local here server port=$((20000 + RANDOM % 20000)) app key
  here=$(mktemp -d "$folder/XXXXXX")
  valgrind --tool=callgrind --callgrind-out-file="$here/out" "$1" serve --listen 127.0.0.1:$port --data "$here/data" \
    > "$here/log" 2>&1 &
  server=$!
  until grep -qs 'Open the page' "$here/log"; do
    kill -0 $server 2>/dev/null || { cat "$here/log" >&2; return 1; }
    sleep 0.2
  done
  read -r app key < <("$1" app list --json --data "$here/data" |
    python3 -c 'import json, sys; app = json.load(sys.stdin)[0]; print(app["sdkappid"], app["secret_key"])')
  "$load" load-test --url http://127.0.0.1:$port --sdkappid "$app" --key "$key" --members 0 --publishers 1 --viewers 16 \
    --bitrate 1000 --at-once 1 --for "$2s" --json > "$here/load" 2>> "$here/log"
  kill -TERM $server
  wait $server || true
  python3 - "$here/load" "$here/out" <<'P'
import json, sys
load = json.load(open(sys.argv[1]))
assert load["viewers"]["connected"] == load["viewers"]["wanted"], load
totals = next(line for line in open(sys.argv[2]) if line.startswith(("totals:", "summary:")))
print(totals.split()[1], load["packets"]["received"])
P
}

first=
for server in "$@"; do
  read -r short_cost short_packets <<< "$(run "$server" 15)"
  read -r cost packets <<< "$(run "$server" 45)"
  each=$(((cost - short_cost) / (packets - short_packets)))
  first=${first:-$each}
  printf '%s: %d instructions a packet, %s of the first (%d packets)\n' \
    "$server" $each "$(python3 -c "print(f'{$each / $first:.3f}')")" $((packets - short_packets))
done
