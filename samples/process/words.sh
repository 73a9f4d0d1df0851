#!/bin/sh
# Answers with the most frequent words of its input, as many as its first argument says (3 if there is none).
tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | grep . | sort | uniq -c | sort -k1,1nr -k2 | head -n "${1:-3}"
echo "counted for ${WHO:-nobody}" >&2
