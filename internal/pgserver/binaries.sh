# One Postgres for as long as file descriptor 3 is open at its other end. Nothing of it stays behind, whoever is killed.
#
# arguments: a directory for the files, the directory of the binaries, "primary", or "standby" and the primary's socket
# descriptor 3: read end of a pipe whose write end the parent holds; closed when the parent closes it or dies
# descriptor 4: the path of the files is written here; closed when everything is removed
set -eu
base=$1 bin=$2 role=$3 primary=${4-}
umask 077
ulimit -c 0

dir=$(mktemp -d "$base/revoke-postgres.XXXXXX")
server=$$ # stays the postmaster's through exec, and is its process group

(
	trap '' HUP INT QUIT TERM
	read -r _ <&3 || :
	# The server of initdb, if it is killed, leaves its shared memory for ever. So initdb is let finish.
	tries=0
	while kill -0 "$server" 2>/dev/null && [ ! -e "$dir/initialized" ] && [ "$tries" -lt 600 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
	kill -QUIT "-$server" 2>/dev/null || :
	tries=0
	# Bounded, because an orphan that nobody reaps looks alive for ever.
	while kill -0 "$server" 2>/dev/null && [ "$tries" -lt 120 ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || kill -KILL "$server" 2>/dev/null || :
		sleep 0.05
	done
	tries=0
	until rm -rf "$dir" || [ "$tries" -ge 100 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
) >/dev/null 2>&1 &

echo "$dir" >&4
exec 3<&- 4>&- >"$dir/log" 2>&1

failed=
case $role in
primary) "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions || failed=1 ;;
standby) "$bin/pg_basebackup" -D "$dir/data" -h "$primary" -p 5432 -U postgres -R --checkpoint=fast --no-sync || failed=1 ;;
esac
: >"$dir/initialized"
[ -z "$failed" ] || exit 1

# Only a Unix socket, in a directory that nobody else can enter: no port to race for, and trust is safe.
exec "$bin/postgres" -D "$dir/data" -k "$dir" -p 5432 -c listen_addresses= -c fsync=off \
	-c max_connections=200 -c max_prepared_transactions=10 -c dynamic_shared_memory_type=mmap
