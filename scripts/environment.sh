# Finds Python and installs the pinned requirements into .venv. The scripts next to it source it:
#
#     . environment.sh requirements.txt [requirements-dev.txt]
#
# It sets $root, the checkout, and $python, the interpreter of .venv. It prints one line on stderr
# when it installs something or fails, and nothing otherwise.

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

# .venv/installed has a copy of each requirements file as it was when it was installed.
up_to_date() {
    local name
    for name in "$@"; do
        [ "$(cat "$root/.venv/installed/$name" 2>/dev/null)" = "$(cat "$root/$name")" ] || return 1
    done
    "$python" -c "" 2>/dev/null
}

# Prints the first Python that is new enough and has venv. Each one is run, because a shim or a
# stripped system Python on the path may not work.
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
