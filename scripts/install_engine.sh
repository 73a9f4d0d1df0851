#!/bin/sh
# Install the Docker Engine that the container tests start for themselves, where that can be done; without it they are skipped.
set -u

missing=
for name in dockerd setpriv unshare nsenter tini iptables busybox; do
  command -v "$name" > /dev/null || missing="$missing $name"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "installing a Docker Engine for the container tests"
  log=$(mktemp)
  packages="docker.io tini iptables busybox-static util-linux"
  if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } > "$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  tail -n 3 "$log" >&2
  rm -f "$log"
fi
echo "NOT INSTALLED:$missing; the container tests will be skipped" >&2
