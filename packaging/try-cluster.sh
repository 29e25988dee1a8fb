#!/usr/bin/env bash
# A cluster to try on this machine: a PostgreSQL of its own and three nodes on loopback, which sign people in by a name alone.
#   packaging/try-cluster.sh PATH-OF-ROOMFUL [FOLDER]
# Ctrl-C ends all of it; the records stay in the folder. The first node's port is $PORT (8480), the others' are 10 and 20 more.
set -euo pipefail
cd "$(dirname "$0")/.."

roomful=$(realpath "$1")
folder=${2:-target/cluster}
first=${PORT:-8480}
mkdir -p "$folder"
folder=$(realpath "$folder")
chmod 0711 "$folder"

programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$programs/initdb" ] || { echo 'PostgreSQL is not installed: apt-get install postgresql' >&2; exit 1; }

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for port in "$first" $((first + 10)) $((first + 20)); do
  is_free "$port" || { echo "port $port is in use; name another first one: PORT=9480 $0 $*" >&2; exit 1; }
done
database=$((first + 1000))
until is_free "$database"; do database=$((database + 1)); done

# PostgreSQL does not run as root: then it is run as nobody, below /tmp where nobody gets into this folder.
home=$folder/postgres
as=()
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  "${as[@]}" test -x "$folder" || home=$(cat "$folder/postgres-home" 2>/dev/null || mktemp -d /tmp/roomful-cluster-XXXXXX | tee "$folder/postgres-home")
fi
mkdir -p "$home"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$home"
if [ ! -s "$home/data/PG_VERSION" ]; then
  (umask 077; head -c 24 /dev/urandom | base64 >"$folder/database-password")
  # Read by who makes the database, and gone from there then.
  install -m 0600 "$folder/database-password" "$home/password"
  [ "$(id -u)" != 0 ] || chown 65534:65534 "$home/password"
  (cd "$home" && "${as[@]}" "$programs/initdb" -U roomful -E UTF8 --locale=C --auth=scram-sha-256 --pwfile=password -D data >initdb.log)
  rm -f "$home/password"
fi
[ -s "$folder/secret" ] || (umask 077; "$roomful" cluster secret >"$folder/secret")

nodes=()
idle=
end() {
  trap '' INT TERM
  trap - EXIT
  echo
  echo 'ending; members of these nodes are told to come back'
  [ ${#nodes[@]} = 0 ] || kill -TERM "${nodes[@]}" 2>/dev/null || true
  wait "${nodes[@]}" 2>/dev/null || true
  [ -z "$idle" ] || kill "$idle" 2>/dev/null || true
  (cd "$home" && "${as[@]}" "$programs/pg_ctl" stop -s -m fast -D data) || true
  rm -f "$folder"/node-*.pid
}
trap end EXIT
trap 'exit 0' INT TERM

(cd "$home" && "${as[@]}" "$programs/pg_ctl" start -s -w -D data -l postgres.log \
  -o "-c listen_addresses=127.0.0.1 -c port=$database -c unix_socket_directories=")

export ROOMFUL_CLUSTER__URL="postgresql://roomful@127.0.0.1:$database/postgres"
export ROOMFUL_STORE__PASSWORD_FILE="$folder/database-password"
export ROOMFUL_CLUSTER__SECRET_FILE="$folder/secret"
for number in 1 2 3; do
  port=$((first + 10 * (number - 1)))
  # Of a session of its own: Ctrl-C is to be told to each once.
  setsid "$roomful" serve --dev --data "$folder/node-$number" --listen "127.0.0.1:$port" \
    >"$folder/node-$number.log" 2>&1 </dev/null &
  nodes+=($!)
  echo $! >"$folder/node-$number.pid"
done

is_ready() { curl -sf -o /dev/null "http://127.0.0.1:$1/readyz"; }
for number in 1 2 3; do
  port=$((first + 10 * (number - 1)))
  until is_ready "$port"; do
    kill -0 "${nodes[$((number - 1))]}" 2>/dev/null || { cat "$folder/node-$number.log" >&2; exit 1; }
    sleep 0.1
  done
done

cat <<TEXT
Three nodes that answer as one, on a PostgreSQL of their own at 127.0.0.1:$database. Join the same room at each:

  http://127.0.0.1:$first/?room=demo&name=ann
  http://127.0.0.1:$((first + 10))/?room=demo&name=ben
  http://127.0.0.1:$((first + 20))/?room=demo&name=cat

  ROOMFUL_STORE__PASSWORD_FILE=$folder/database-password $roomful cluster status --data $folder/node-1
  kill -9 \$(cat $folder/node-1.pid)      # and see the others go on

Logs are in $folder. Ctrl-C ends all.
TEXT
# Also when a node ends: the others go on.
sleep infinity &
idle=$!
wait "$idle"
