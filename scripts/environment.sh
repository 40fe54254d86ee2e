# Sourced by the scripts beside it: finds Python and brings .venv up to the pinned requirements.
#
#     . environment.sh requirements.txt [requirements-dev.txt]
#
# Afterwards $root is the checkout and $python the interpreter of .venv. Silent when there is
# nothing to do; otherwise one line on stderr, and what fails is one line there too.

fail() {
    echo "gfil: $*" >&2
    exit 1
}

case "$(uname -s)" in
    MINGW* | MSYS* | CYGWIN*) fail "Windows is not supported: use WSL, the Linux inside Windows" ;;
esac

here=$(cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null || echo "${BASH_SOURCE[0]}")")" && pwd)
root=${here%/*}
python=$root/.venv/bin/python

# The stamp of a requirements file is its copy: what was installed is what it says now.
up_to_date() {
    local name
    for name in "$@"; do
        [ "$(cat "$root/.venv/installed/$name" 2>/dev/null)" = "$(cat "$root/$name")" ] || return 1
    done
    "$python" -c "" 2>/dev/null
}

# Prints the first Python that will do. A shim or a stripped system Python may be on the path and
# not work, so each is tried.
find_python() {
    local candidate old="" bare=""
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        "$candidate" -c "" 2>/dev/null || continue
        if ! "$candidate" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
            old=${old:-$("$candidate" -c "import sys; print('%d.%d' % sys.version_info[:2])")}
        elif ! "$candidate" -c "import ensurepip, venv" 2>/dev/null; then
            bare=${bare:-$candidate}
        else
            echo "$candidate"
            return
        fi
    done
    [ -z "$bare" ] || fail "$bare has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)"
    [ -z "$old" ] || fail "Python $old is too old: install Python 3.11 or newer"
    fail "no Python here: install Python 3.11 or newer"
}

if ! up_to_date "$@"; then
    base_python=$(find_python) || exit 1
    "$base_python" -I "$here/set_up.py" "$root" "$@" || exit 1
fi
unset PYTHONHOME
export PYTHONPATH=$root
