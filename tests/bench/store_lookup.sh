#!/usr/bin/env bash
# Instructions of one lookup, and of one hit with its body read, on one thread: callgrind, two lengths of run, the
# difference divided, so that start and end do not count. Exact, whatever else the machine does.
set -euo pipefail
command -v valgrind >/dev/null || { echo "valgrind is not installed: instructions are not counted"; exit 0; }

collected() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
for what in "lookup" "hit" "lookup shared" "hit shared"; do
    few=$(collected "$1" 1000 $what)
    many=$(collected "$1" 11000 $what)
    echo "instructions of a $what: $(((many - few) / 10000))"
done
