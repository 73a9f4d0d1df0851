#!/bin/sh
# Print the first Python that SPEAR can run on, or one line that says what was found instead.
found=""
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))' 2>/dev/null)
    then echo "$python"; exit 0
    fi
    found="$found${version:+ $python is $version,}"
done
echo "spear: needs Python 3.11 or newer,${found:- found none,} install one or name it: make PYTHON=/path/to/python3 ..." >&2
exit 1
