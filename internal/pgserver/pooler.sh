# One PgBouncer for as long as file descriptor 3 is open at its other end. Nothing of it stays behind, whoever is killed.
#
# arguments: a directory for the files, the program
# standard input: its configuration, in which {dir} stands for the directory of the files
# descriptor 3: read end of a pipe whose write end the parent holds; closed when the parent closes it or dies
# descriptor 4: the path of the files is written here; closed when everything is removed
set -eu
base=$1 program=$2
umask 077
ulimit -c 0

dir=$(mktemp -d "$base/revoke-pgbouncer.XXXXXX")
pooler=$$ # stays the pooler's through exec

(
	trap '' HUP INT QUIT TERM
	read -r _ <&3 || :
	kill -KILL "$pooler" 2>/dev/null || :
	tries=0
	# Bounded, because an orphan that nobody reaps looks alive for ever.
	while kill -0 "$pooler" 2>/dev/null && [ "$tries" -lt 100 ]; do
		tries=$((tries + 1))
		sleep 0.02
	done
	rm -rf "$dir"
) >/dev/null 2>&1 &

echo "$dir" >&4
exec 3<&- 4>&- >"$dir/log" 2>&1

sed "s|{dir}|$dir|g" >"$dir/pgbouncer.ini"
exec "$program" "$dir/pgbouncer.ini"
