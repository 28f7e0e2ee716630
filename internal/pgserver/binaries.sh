# One Postgres for as long as file descriptor 3 is open at its other end. Nothing of it stays
# behind, whichever process is killed.
#
# arguments: a directory for the files, the directory of the binaries, "primary", or "standby" with
#	the primary's directory and a base backup
# standard input: for a primary the path of what another server has left of its initdb, or an empty
#	line; for a standby the label of the backup
# descriptor 3: read end of a pipe; the parent holds its write end, and closes it or dies
# descriptor 4: the path of the files is written here; closed when everything is removed
set -eu
base=$1 bin=$2 role=$3 primary=${4-} backup=${5-}
umask 077
ulimit -c 0

dir=$(mktemp -d "$base/revoke-postgres.XXXXXX")
server=$$ # stays the postmaster's through exec, and is its process group

alive() { # a zombie is not: an orphan may wait for ever to be reaped
	kill -0 "$server" 2>/dev/null && ! grep -qs '^State:.*zombie' "/proc/$server/status"
}

(
	trap '' HUP INT QUIT TERM
	read -r _ <&3 || :
	# The server of initdb, if it is killed, leaves its shared memory for ever. So initdb is let
	# finish.
	tries=0
	while alive && [ ! -e "$dir/initialized" ] && [ "$tries" -lt 1800 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
	kill -QUIT "-$server" 2>/dev/null || :
	# A postmaster that is killed leaves its shared memory too. By itself it gives its processes
	# five seconds.
	tries=0
	while alive && [ "$tries" -lt 620 ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || kill -KILL "$server" 2>/dev/null || :
		sleep 0.05
	done
	# Under its name "fresh" is always complete.
	mv "$dir/fresh" "$dir/removed" || :
	tries=0
	until rm -rf "$dir" || [ "$tries" -ge 100 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
) >/dev/null 2>&1 &

echo "$dir" >&4
exec 3<&- 4>&- >"$dir/log" 2>&1

mkdir "$dir/data"
failed=
case $role in
primary)
	read -r origin
	# A copy takes a tenth of the time of initdb. It is complete if its original is still there
	# afterwards. The original belongs to a server of this process or of another one.
	if [ -z "$origin" ] || ! cp -R "$origin/." "$dir/data" || [ ! -e "$origin" ]; then
		find "$dir/data" -mindepth 1 -delete
		if "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions; then
			cp -R "$dir/data" "$dir/copy" && mv "$dir/copy" "$dir/fresh"
		else
			failed=1
		fi
	fi
	;;
standby)
	: >"$dir/initialized" # there is no initdb to wait for
	mv "$backup"/* "$dir/data"
	rm -rf "$dir/data/postmaster.pid" "$dir/data/pg_replslot"/*
	cat >"$dir/data/backup_label"
	: >"$dir/data/standby.signal"
	echo "primary_conninfo = 'host=''$primary'' port=5432 user=postgres'" >>"$dir/data/postgresql.auto.conf"
	;;
esac
: >"$dir/initialized"
[ -z "$failed" ] || exit 1

# Only a Unix socket, in a directory that no other user can enter: no port to race for, and trust is
# safe. A new standby needs the log from the beginning of its backup on; each CREATE DATABASE is a
# checkpoint, which would remove it.
exec "$bin/postgres" -D "$dir/data" -k "$dir" -p 5432 -c listen_addresses= -c fsync=off -c full_page_writes=off -c wal_keep_size=512MB \
	-c max_connections=200 -c max_prepared_transactions=10 -c dynamic_shared_memory_type=mmap
