#!/bin/sh
# Install the browser that the browser tests drive, where that can be done; without it they are skipped.
set -u

for name in chromium chromium-browser google-chrome; do
  command -v "$name" > /dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "installing chromium for the browser tests"
  log=$(mktemp)
  if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } > "$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  tail -n 3 "$log" >&2
  rm -f "$log"
fi
echo "NOT INSTALLED: chromium; the browser tests will be skipped" >&2
