#!/usr/bin/env bash
# Runs the commands of README.md with curl, and more, and checks every answer.
#
#   examples/logout/try.sh
#
# It takes a free port, and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")"

readonly START_SECONDS=120 # with Docker an image may have to be pulled first
readonly NOTHING_SENT='Bearer realm="api"' INVALID_TOKEN='Bearer realm="api", error="invalid_token"'

work=$(mktemp -d)
readonly work
server=
cleanup() {
	local status=$?
	if [ -n "$server" ] && kill "$server" 2>/dev/null; then wait "$server" || true; fi
	[ "$status" -eq 0 ] || [ ! -e "$work/log" ] || cat "$work/log" >&2
	rm -rf -- "$work"
	exit "$status"
}
trap cleanup EXIT

fail() {
	printf 'try.sh: %s\n' "$1" >&2
	exit 1
}

# The user's settings of curl, and a proxy, must not change the result.
: >"$work/.curlrc"
export CURL_HOME=$work no_proxy='*' NO_PROXY='*'

ask() { # ask STATUS CHALLENGE CURL-ARGUMENT...: the answer's body is in $body, its header in $work/header
	local status=$1 challenge=$2 got
	shift 2
	got=$(curl -sS --max-time 20 -o "$work/body" -D "$work/header" -w '%{http_code}' "$@") || fail "curl exited with $?: $*"
	body=$(cat "$work/body")
	[ "$got" = "$status" ] || fail "$got with '$body', want $status: $*"
	[ "$(header WWW-Authenticate)" = "$challenge" ] || fail "the challenge is '$(header WWW-Authenticate)', want '$challenge': $*"
	[ "$status" = 405 ] || [ "$(header Cache-Control)" = no-store ] || fail "a cache may keep the answer: $*"
}

header() { # header NAME: its value in the last answer, or nothing
	tr -d '\r' <"$work/header" | awk -v name="$1" 'tolower($1) == tolower(name) ":" { sub(/^[^ ]* /, ""); print }'
}

says() { # says TEXT: compares the last answer's body
	[ "$body" = "$1" ] || fail "the body is '$body', want '$1'"
}

with() { # with TOKEN: the arguments of curl, in $auth
	auth=(-H "Authorization: Bearer $1")
	printf '%s\n' "$1" >>"$work/tokens"
}

alive() { # alive TOKEN NAME
	with "$1"
	ask 200 '' "$api/me" "${auth[@]}"
	says "hello, $2"
}

dead() { # dead TOKEN
	with "$1"
	ask 401 "$INVALID_TOKEN" "$api/me" "${auth[@]}"
	says Unauthorized
}

sign_in() { # sign_in NAME PASSWORD: the token is in $body
	ask 200 '' "$api/sign-in" -d "name=$1" -d "password=$2"
	[[ $body =~ ^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$ ]] || fail "this is no token: '$body'"
	[ -z "$(header Set-Cookie)" ] || fail "a client without Sec-Fetch-Site got a cookie"
}

go build -buildvcs=false -o "$work/logout" .
"$work/logout" -port 0 >"$work/printed" 2>"$work/log" &
server=$!
deadline=$((SECONDS + START_SECONDS))
until api=$(sed -n 's/^  api=\(http:.*\)$/\1/p' "$work/printed") && [ -n "$api" ]; do
	kill -0 "$server" 2>/dev/null || fail "the server has ended"
	[ "$SECONDS" -lt "$deadline" ] || fail "the server is not ready after $START_SECONDS s"
	sleep 0.1
done
readonly api

# 1. The printed commands are those in README.md, and have the results that both name.
ask 401 "$NOTHING_SENT" "$api/me" # once it answers, everything is printed
sed -n 's/^  //p' "$work/printed" >"$work/commands"
sed '/^## In a browser/,$d' README.md | grep -E '^(api=|[a-z]+=.\(curl |curl )' | sed "s|^api=.*|api=$api|" >"$work/readme"
diff "$work/readme" "$work/commands" || fail "README.md and the printed commands differ"
bash -euo pipefail "$work/commands" >"$work/answers" 2>/dev/null || fail "a printed command fails: $?"
statuses=$(awk '/^HTTP\// { printf "%s ", $2 }' "$work/answers")
[ "$statuses" = '200 204 401 401 401 200 403 200 204 401 ' ] || fail "the printed commands are answered with $statuses"

# 2. Requests without a token, or with something else in its place.
ask 401 "$NOTHING_SENT" "$api/me"
says Unauthorized
ask 401 "$NOTHING_SENT" "$api/logout" -X POST
dead garbage
ask 400 'Bearer realm="api", error="invalid_request"' "$api/me" -H 'Authorization: Bearer'

# 3. Sign-in. An unknown account is answered like a wrong password.
ask 403 '' "$api/sign-in" -d name=bob -d password=wrong-horse
says 'wrong name or password'
grep -v '^Date:' "$work/header" >"$work/known"
ask 403 '' "$api/sign-in" -d name=eve -d password=wrong-horse
says 'wrong name or password'
grep -v '^Date:' "$work/header" | diff "$work/known" - || fail "the answers tell whether there is an account"
code=0
curl -sSf "$api/sign-in" -d name=bob -d password=wrong-horse >/dev/null 2>&1 || code=$?
[ "$code" -eq 22 ] || fail "curl -f exits with $code where the password is wrong"
ask 400 '' "$api/sign-in?name=bob&password=hunter2-hunter2" -X POST
ask 400 '' "$api/sign-in" -d 'name=bob%00' -d password=hunter2-hunter2
ask 405 '' "$api/sign-in"
head -c 5000 /dev/zero | tr '\0' x >"$work/large"
ask 413 '' "$api/sign-in" -d "@$work/large"

# 4. Logout ends one session, and a repeat succeeds.
sign_in bob hunter2-hunter2
phone=$body
sign_in bob hunter2-hunter2
laptop=$body
alive "$phone" bob
ask 204 '' "$api/logout" -X POST "${auth[@]}"
says ''
dead "$phone"
alive "$laptop" bob
with "$phone"
ask 204 '' "$api/logout" -X POST "${auth[@]}"
ask 401 "$INVALID_TOKEN" "$api/logout-everywhere" -X POST "${auth[@]}" # a revoked token cannot end other sessions
alive "$laptop" bob
ask 405 '' "$api/logout" "${auth[@]}"
[ "$(header Allow)" = POST ] || fail "Allow is '$(header Allow)'"

# 5. A password change ends the other sessions, and the token in the answer is accepted at once. A
# failed change ends nothing.
sign_in bob hunter2-hunter2
phone=$body
with "$laptop"
ask 403 '' "$api/password" "${auth[@]}" -d old=wrong-horse -d new=correct-staple
says 'wrong name or password'
ask 400 '' "$api/password" "${auth[@]}" -d old=hunter2-hunter2 -d new=short
ask 401 "$NOTHING_SENT" "$api/password" -d old=hunter2-hunter2 -d new=correct-staple
alive "$phone" bob
with "$laptop"
ask 200 '' "$api/password" "${auth[@]}" -d old=hunter2-hunter2 -d new=correct-staple
fresh=$body
alive "$fresh" bob
dead "$phone"
dead "$laptop"
ask 403 '' "$api/sign-in" -d name=bob -d password=hunter2-hunter2
sign_in bob correct-staple
phone=$body
alive "$phone" bob

# 6. Logout everywhere ends every session of one user, and no session of another.
sign_in ada battery-staple
ada=$body
with "$fresh"
ask 204 '' "$api/logout-everywhere" -X POST "${auth[@]}"
dead "$fresh"
dead "$phone"
alive "$ada" ada

# 7. A browser gets its token in a cookie. Another site cannot sign it in or out.
browser=(-b "$work/cookies" -c "$work/cookies" -H)
same='Sec-Fetch-Site: same-origin' cross='Sec-Fetch-Site: cross-site'
ask 204 '' "$api/sign-in" "${browser[@]}" "$same" -d name=bob -d password=correct-staple
cookie=$(header Set-Cookie)
[[ $cookie =~ ^__Host-session=.*\;\ Path=/\;.*\;\ HttpOnly\;\ Secure\;\ SameSite=Lax$ ]] || fail "the cookie is '$cookie'"
printf '%s\n' "$cookie" | sed 's/^__Host-session=\([^;]*\);.*/\1/' >>"$work/tokens"
cp "$work/cookies" "$work/stolen"
ask 200 '' "$api/me" "${browser[@]}" "$same"
says 'hello, bob'
ask 204 '' "$api/password" "${browser[@]}" "$same" -d old=correct-staple -d new=hunter2-hunter2
ask 200 '' "$api/me" "${browser[@]}" "$same"
ask 401 "$INVALID_TOKEN" "$api/me" -b "$work/stolen"
# 403 precedes the check of the token, and has no challenge: signing in again would not help.
ask 403 '' "$api/logout" -X POST "${browser[@]}" "$cross"
ask 403 '' "$api/sign-in" -H "$cross" -d name=bob -d password=hunter2-hunter2
# A header decides alone: a good one beside another user's cookie, and a bad one beside a good
# cookie.
with "$ada"
ask 200 '' "$api/me" "${browser[@]}" "$same" "${auth[@]}"
says 'hello, ada'
ask 401 "$INVALID_TOKEN" "$api/me" "${browser[@]}" "$same" -H 'Authorization: Bearer garbage'
ask 400 'Bearer realm="api", error="invalid_request"' "$api/me" "${auth[@]}" "${auth[@]}" # two headers
ask 204 '' "$api/logout" -X POST "${browser[@]}" "$same"
ask 401 "$NOTHING_SENT" "$api/me" "${browser[@]}" "$same" # the browser has deleted it

# 8. The log has the reasons, but no token and no password.
grep -q 'user revoked' "$work/log" || fail "the log does not say why a token was refused"
printf '%s\n' correct-horse battery-staple hunter2-hunter2 correct-staple wrong-horse >>"$work/tokens"
grep -v '^garbage$' "$work/tokens" | grep -F -f - "$work/log" && fail "the log has a token or a password"

# 9. It ends when it is told to, and ends its Postgres: otherwise its exit code would not be 0.
kill -TERM "$server"
code=0
wait "$server" || code=$?
server=
[ "$code" -eq 0 ] || fail "the server ended with $code"
code=0
curl -sS "$api/me" >/dev/null 2>&1 || code=$?
[ "$code" -eq 7 ] || fail "curl exits with $code although no server listens, want 7"
echo "every answer is as it should be"
