#!/bin/sh
# Runs the given test programs and adds up their closing lines ("FILE: N passed, N failed"). A program that ends without
# one, or with a sanitizer's report, counts as one failure more.
set -u
passed=0 failed=0
for program; do
    output=$("$program" 2>&1)
    code=$?
    printf '%s\n' "$output"
    counts=$(printf '%s\n' "$output" | sed -n 's/^[^ ]*: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' | tail -n 1)
    counts=${counts:-0 0}
    bad=${counts#* }
    passed=$((passed + ${counts% *}))
    failed=$((failed + bad))
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "FAILED $program: ended with status $code"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
