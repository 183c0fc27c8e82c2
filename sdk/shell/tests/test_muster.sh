#!/bin/sh
# Tests of ../muster under each shell that is here:
#   sdk/shell/tests/test_muster.sh [SHELL...]
set -u

muster=$(cd "$(dirname "$0")/.." && pwd)/muster
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
events=$folder/events
good=0 bad=0

# ok WHAT COMMAND...
ok() {
	what=$1
	shift
	if "$@" >"$folder/words" 2>&1; then
		good=$((good + 1))
		echo "ok - $shell: $what"
	else
		bad=$((bad + 1))
		echo "not ok - $shell: $what"
		sed 's/^/# /' "$folder/words"
	fi
}

# Runs a command with a pipe that is listened to; $told is what came.
listen() {
	rm -f "$events"
	mkfifo "$events"
	exec 5<>"$events"
	MUSTER_EVENTS=$events MUSTER_TASK=42 MUSTER_TOKEN=9-42 "$@" 5>&-
	status=$?
	echo end >&5
	told=$(sed '/^end$/q' <&5)
	told=${told%end}
	exec 5>&-
	return $status
}

call() {
	listen "$shell" "$muster" "$@"
}

# What was told, as compared in Python: `line` is the only line, `told` it.
holds() {
	printf '%s' "$told" | /usr/bin/python3 -c '
import json, sys
data = sys.stdin.buffer.read().decode("utf-8").rstrip("\n")
assert "\n" not in data, data
line, told = data, json.loads(data)
(kind, body), = told.items()
assert body.pop("id") == "42" and body.pop("token") == "9-42", data
assert len(line.encode()) + 1 <= 4096, len(line.encode())
if not eval("(" + sys.argv[1] + ")"):
    print(sys.argv[1])
    print(data)
    sys.exit(1)' "$1"
}

fraction() {
	call progress "$1" && holds "kind == 'progress' and body == {'fraction': $2}"
}

note() {
	call progress 0.5 "$1" && holds "body['note'] == $2"
}

silent() {
	[ -z "$told" ] || { echo "told: $told"; return 1; }
}

refused() {
	call "$@"
	[ $status = 64 ] && silent
}

exits() {
	wanted=$1
	shift
	"$@"
	status=$?
	[ $status = "$wanted" ] || { echo "exit code $status"; return 1; }
}

test_fractions() {
	ok "a fraction" fraction 0.4 0.4
	ok "without a nought" fraction .25 0.25
	ok "one" fraction 1 1
	ok "nought" fraction 0 0
	ok "a point at the end" fraction 1. 1
	ok "noughts before" fraction 000.125 0.125
	ok "no more than one" fraction 7.5 1
	ok "a part of a whole" fraction 2/5 0.4
	ok "digits that look octal" fraction 08/010 0.8
	ok "a part beyond the whole" fraction 9/5 1
	for word in '' . x 1e3 -1 1.2.3 1/0 1/ /2 1/2/3 0x1 '1 2' 'a[$(id)]/2'; do
		ok "no fraction: '$word'" refused progress "$word"
	done
	ok "no fraction at all" refused progress
}

test_notes() {
	ok "a note" note 'page 2 of 5' "'page 2 of 5'"
	ok "quotes and backslashes" note 'a"b\c\n\' "'a\"b\\\\c\\\\n\\\\'"
	ok "control characters" note "$(printf 'a\001\t\n\r\033[m\177z')" \
		"'a\\x01\\t\\n\\r\\x1b[m\\x7fz'"
	ok "UTF-8" note "$(printf '\303\244\342\202\254\360\237\230\200')" \
		"'\\u00e4\\u20ac\\U0001f600'"
	ok "what is not UTF-8 is left out" note "$(printf 'a\377b\303')" "'ab'"
	ok "what looks like a format, a pattern, an option" \
		note '%s *[a]? $HOME `id` -n' "'%s *[a]? \$HOME \`id\` -n'"
	ok "a dash" note '-n' "'-n'"
	ok "words" eval 'call progress 1 two "three  four" &&
		holds "body[\"note\"] == \"two three  four\""'
	long=$(printf '%5000s' | tr ' ' x)
	ok "a long note is cut" note "$long" "'x' * (len(body['note']) - 3)
		+ '...' and len(line) == 4095"
	ok "a long note of quotes is cut" eval 'call progress 1 "$(printf %s \
		"$long" | tr x \")" && holds "set(body[\"note\"]) == set(\"\\\".\")
		and len(line) > 4080"'
	ok "a long note is cut between characters" eval 'call progress 1 \
		"a$(printf %s "$long" | sed "s/x/$(printf "\342\202\254")/g")" &&
		holds "set(body[\"note\"]) == set(\"a.\\u20ac\")
		and len(line.encode()) > 4080"'
}

test_chunks() {
	ok "a chunk" eval "call chunk '{\"a\": [1, null]}' &&
		holds 'kind == \"chunk\" and body == {\"data\": {\"a\": [1, None]}}'"
	ok "a chunk of several lines" eval "call chunk '[1,
2]' && holds 'body[\"data\"] == [1, 2]'"
	ok "a chunk from standard input" eval "printf '%s\n' '{\"a\":' '5}' |
		{ call chunk && holds 'body[\"data\"] == {\"a\": 5}'; }"
	ok "a chunk that is too large" eval 'call chunk "\"$long\"";
		[ $status = 65 ] && silent'
	ok "the largest chunk" eval 'call chunk "\"$(printf "%.4049s" "$long")\"" &&
		holds "len(line) == 4095"'
	ok "one byte more" eval 'call chunk "\"$(printf "%.4050s" "$long")\"";
		[ $status = 65 ] && silent'
	ok "an empty chunk" refused chunk ''
}

test_nobody_listens() {
	ok "no MUSTER_EVENTS" exits 0 env -u MUSTER_EVENTS "$shell" "$muster" \
		progress 0.5 note
	ok "MUSTER_EVENTS is gone" exits 0 env MUSTER_EVENTS="$folder/gone" \
		"$shell" "$muster" progress 0.5
	ok "and no file is made" [ ! -e "$folder/gone" ]
	rm -f "$events"
	mkfifo "$events"
	ok "a pipe that nobody reads" exits 0 env MUSTER_EVENTS="$events" \
		timeout 10 "$shell" "$muster" progress 0.5
}

test_outcomes() {
	ok "fail" exits 65 "$shell" "$muster" fail no such picture
	ok "its words" eval \
		'[ "$("$shell" "$muster" fail no such "picture  5" 2>&1)" = \
			"no such picture  5" ]'
	ok "retry" exits 75 "$shell" "$muster" retry busy
	ok "fail without words" exits 64 "$shell" "$muster" fail
	ok "an unknown word" exits 64 "$shell" "$muster" dance
	ok "help" exits 0 "$shell" "$muster" --help
}

test_function() {
	cat >"$folder/program" <<'END'
set -eu
. "$1"
IFS=,
note=kept word=kept rest=kept
muster progress 0.5 "$(printf 'a\377"b')" c
[ "$note$word$rest$IFS" = keptkeptkept, ]
muster fail "for good"
echo not reached
END
	ok "as a function" eval 'listen "$shell" "$folder/program" "$muster" \
		>"$folder/out"; [ $status = 65 ] && [ ! -s "$folder/out" ] &&
		holds "body == {\"fraction\": 0.5, \"note\": \"a\\\"b c\"}"'
}

# Writers at the same time; every line must come whole.
test_one_piece() {
	cat >"$folder/crowd" <<'END'
. "$1"
for writer in 1 2 3 4 5 6 7 8; do
	for turn in 1 2 3 4 5; do
		muster progress 0.5 "$(printf '%5000s' | tr ' ' "$writer")"
	done &
done
wait
END
	rm -f "$events"
	mkfifo "$events"
	exec 5<>"$events"
	(head -n 40 <&5 >"$folder/lines") &
	reader=$!
	MUSTER_EVENTS=$events MUSTER_TASK=42 MUSTER_TOKEN=9-42 \
		timeout 60 "$shell" "$folder/crowd" "$muster"
	wait $reader
	exec 5>&-
	ok "lines come in one piece" /usr/bin/python3 -c '
import json, sys
lines = open(sys.argv[1]).read().splitlines()
assert len(lines) == 40
for line in lines:
    assert len(line) == 4095, len(line)
    assert len(set(json.loads(line)["progress"]["note"])) == 2, line
' "$folder/lines"
}

[ $# -gt 0 ] || set -- dash bash
for shell; do
	command -v "$shell" >/dev/null || continue
	test_fractions
	test_notes
	test_chunks
	test_nobody_listens
	test_outcomes
	test_function
	test_one_piece
done
echo "# pass $good"
echo "# fail $bad"
[ $bad = 0 ] && [ $good -gt 0 ]
