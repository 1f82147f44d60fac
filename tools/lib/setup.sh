# Sourced by the tools: system packages, an interpreter's virtual environment,
# and this package built and installed into it. Each step leaves a stamp, so
# that a start with nothing to do costs milliseconds.
#
#   GCORE_BUILD     the build folder (default: build/ of the tree)
#   GCORE_NO_BUILD  1: take the environment as it stands, build nothing

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${GCORE_BUILD:-$root/build}
logs=$build/log
supported=(3.13 3.12 3.11 3.10 3.14)

base_packages=(gcc libc6-dev cmake ninja-build pkg-config ca-certificates
    libc-ares-dev libidn2-dev)
test_packages=(g++ libcmocka-dev libssl-dev valgrind netbase)
bench_packages=(libuv1-dev libevent-dev wrk)
load_packages=(wrk openssl)
# apache2-bin has no service that would start
http_packages=(apache2-bin apache2-utils curl nghttp2-client openssl wrk)
browser_packages=(chromium)
# from the package index: servers to compare with, and what runs on them
peer_packages=(uvloop granian waitress gunicorn flask)

say() { printf 'gevent: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# step TITLE REMEDY COMMAND...: run the command, its output into a log; say
# what is done and how long it took, or show the log's end and the remedy.
# (A function given as the command chains with "&&": "set -e" is off in it.)
step() {
    local title=$1 remedy=$2 log status=0 start=$SECONDS
    shift 2
    mkdir -p "$logs"
    log=$logs/$(tr -cs 'A-Za-z0-9.\n' - <<<"$title").log
    say "$title ..."
    ("$@") >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 30 "$log" >&2
        say "FAILED: $title (exit status $status). The whole log: $log"
        say "what to do: $remedy"
        exit 1
    fi
    if [ $((SECONDS - start)) -gt 1 ]; then
        say "$title: done in $((SECONDS - start)) s"
    fi
}

# ---- system packages -------------------------------------------------------

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The archive may be slow to answer, and another installation under way.
apt_patience=(-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)

apt_install() {
    # An unreachable archive among several is no reason to stop here: the
    # installation tells whether something is really missing.
    as_root apt-get -qq "${apt_patience[@]}" update || true
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq "${apt_patience[@]}" install \
            --no-install-recommends -y "$@"
}

# ensure_packages PACKAGE...: install those of the system's that are missing.
ensure_packages() {
    local package missing=()
    command -v dpkg-query >/dev/null || return 0
    for package; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) \
            == installed ]] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        die "missing system packages; as root: apt-get install ${missing[*]}"
    fi
    step "installing system packages: ${missing[*]}" \
        "as root, 'apt-get update && apt-get install ${missing[*]}'" \
        apt_install "${missing[@]}"
}

# ensure_group NAME PACKAGE...: the same, once a build folder and list.
ensure_group() {
    local stamp=$build/system-$1
    shift
    [ "$(cat "$stamp" 2>/dev/null)" = "$*" ] && return 0
    ensure_packages "$@"
    mkdir -p "$build"
    printf '%s\n' "$*" >"$stamp"
}

# The distribution's own cmake before any wrapper of an interpreter's.
use_system_tools() {
    local tool
    mkdir -p "$build/bin"
    for tool in cmake ctest ninja; do
        if [ -x "/usr/bin/$tool" ]; then
            ln -sfn "/usr/bin/$tool" "$build/bin/$tool"
        fi
    done
    PATH=$build/bin:$PATH
}

# ---- interpreters ----------------------------------------------------------

# interpreter COMMAND: print "VERSION PATH" if it runs and is supported.
interpreter() {
    "$1" -I -c '
import os, sys
assert sys.version_info >= (3, 10) and sys.implementation.name == "cpython"
print("%d.%d" % sys.version_info[:2],
      os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
' 2>/dev/null
}

# interpreter_files VERSION: print each such interpreter, pyenv's first. A
# shim of pyenv's is none: it may stand for nothing.
interpreter_files() {
    local pyenv=${PYENV_ROOT:-${HOME:-}/.pyenv} status=1 file
    while read -r file; do
        [ -x "$file" ] || continue
        echo "$file"
        status=0
    done < <(
        printf '%s\n' "$pyenv/versions/$1".*/bin/"python$1" | sort -rV
        type -aP "python$1" | grep -v '/shims/'
    )
    return $status
}

# find_interpreter [VERSION|PATH]: print "VERSION PATH"; status 1 if there is
# none.
find_interpreter() {
    local request=${1:-} candidate found files
    case $request in
    "") set -- python3 "${supported[@]/#/python}" ;;
    */*) set -- "$request" ;;
    *)
        mapfile -t files < <(interpreter_files "$request")
        set -- "${files[@]}"
        ;;
    esac
    for candidate; do
        found=$(interpreter "$candidate") || continue
        case $request in
        "" | */* | "${found%% *}") echo "$found"; return 0 ;;
        esac
    done
    return 1
}

# Debian splits venv and the headers from the interpreter.
complete_interpreter() {
    local version=$1 python=$2
    "$python" -I -c '
import ensurepip, os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))
' 2>/dev/null && return 0
    case $python in
    /usr/bin/*) ensure_packages "python$version-venv" "python$version-dev" ;;
    *) die "$python has no venv module or no headers" ;;
    esac
}

# ---- virtual environments --------------------------------------------------

make_venv() {
    local python=$1 folder=$2
    rm -rf "$folder" && "$python" -m venv "$folder"
}

pip_install() {
    local python=$1
    shift
    "$python" -m pip install --quiet --disable-pip-version-check \
        --no-input "$@"
}

network_remedy="check that the package index is reachable, then run again"

# ---- the package in an environment -----------------------------------------

# What the installed package depends on: content of what is compiled (by time
# and size), names of what is linked to (Python files take effect as they are).
fingerprint() {
    (
        cd "$root"
        find CMakeLists.txt pyproject.toml tools/cmake libgcore \
            python/libgcore/accel python/libgcore/_build_binding.py \
            -type f -printf '%p %s %T@\n'
        find python/libgcore python/gevent -name '*.py*' \
            -not -path '*/__pycache__/*' -printf '%p\n'
    ) 2>/dev/null | LC_ALL=C sort | cksum
}

configure_package() {
    cmake -S "$root" -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DGCORE_PYTHON=ON -DPython_EXECUTABLE="$2"
}

# The files are linked, not copied: an edited Python file takes effect at once.
link_package() {
    local folder=$1 python=$2 site=$3
    CMAKE_INSTALL_MODE=ABS_SYMLINK \
        cmake --install "$folder" --prefix "$site" &&
        find "$site/libgcore" "$site/gevent" -xtype l -delete &&
        lacks_nothing "$python" "$site"
}

# The linker lets an extension module pass with a name that nobody has.
lacks_nothing() {
    "$1" -c 'import ctypes, os, sys
for path in sys.argv[1:]: ctypes.CDLL(path, os.RTLD_NOW)' \
        "$2"/libgcore/*.abi3.so
}

# The distribution's metadata, so that other packages find "gevent" installed.
write_metadata() {
    local python=$1 site=$2
    cd "$root" && rm -rf "$site"/gevent-*.dist-info && "$python" -c '
import sys
from scikit_build_core.build import prepare_metadata_for_build_wheel
prepare_metadata_for_build_wheel(sys.argv[1])
' "$site"
}

# setup [VERSION|PATH]: sets env_python, the environment's interpreter with
# everything installed in it, and env_version.
setup() {
    local request=${1:-${GCORE_PYTHON:-}} key
    key=$request
    [ -n "$key" ] || key=$(cat "$build/default-python" 2>/dev/null || true)
    if [[ $key == 3.* && -x $build/env-$key/bin/python ]]; then
        env_version=$key
        env_python=$build/env-$key/bin/python
        [ "${GCORE_NO_BUILD:-}" = 1 ] && return 0
        [ "$(cat "$build/env-$key/.installed" 2>/dev/null)" = "$(fingerprint)" ] &&
            return 0
    fi
    mkdir -p "$build"
    exec {setup_lock}>"$build/.lock"
    flock -n "$setup_lock" || {
        say "waiting for another set-up in $build ..."
        flock "$setup_lock"
    }
    setup_slowly "$request"
    exec {setup_lock}>&-
}

setup_slowly() {
    local request=$1 found folder site wanted
    ensure_group base "${base_packages[@]}"
    use_system_tools
    if ! found=$(find_interpreter "$request"); then
        [ -z "$request" ] || die "no Python $request on PATH or in pyenv" \
            "(3.10 or newer is needed)"
        ensure_packages python3
        found=$(find_interpreter) || die "no Python 3.10 or newer found"
    fi
    env_version=${found%% *}
    local python=${found#* }
    folder=$build/env-$env_version
    env_python=$folder/bin/python
    [ -n "$request" ] || echo "$env_version" >"$build/default-python"

    if [ "$(cat "$folder/.interpreter" 2>/dev/null)" != "$root $python" ]; then
        complete_interpreter "$env_version" "$python"
        rm -rf "$build/py-$env_version"
        step "making an environment for Python $env_version" \
            "see the log; '$python -m venv' must work" \
            make_venv "$python" "$folder"
        echo "$root $python" >"$folder/.interpreter"
    fi

    wanted=$(cksum <"$root/pyproject.toml")
    site=$(echo "$folder"/lib/python*/site-packages)
    if [ "$(cat "$folder/.requirements" 2>/dev/null)" != "$wanted" ]; then
        local requirements
        mapfile -t requirements < <(
            "$env_python" "$root/tools/lib/requirements.py" test)
        step "installing Python packages for $env_version" \
            "$network_remedy" pip_install "$env_python" "${requirements[@]}"
        step "writing the metadata for $env_version" \
            "see the log: pyproject.toml may be wrong" \
            write_metadata "$env_python" "$site"
        echo "$wanted" >"$folder/.requirements"
    fi

    wanted=$(fingerprint)
    if [ "$(cat "$folder/.installed" 2>/dev/null)" != "$wanted" ]; then
        local objects=$build/py-$env_version
        if [ ! -f "$objects/build.ninja" ]; then
            step "configuring the build for $env_version" \
                "see the log; 'rm -r $objects' starts afresh" \
                configure_package "$objects" "$env_python"
        fi
        step "building for $env_version" \
            "mend what the compiler names, then run again" \
            cmake --build "$objects"
        step "installing into $folder" \
            "see the log; 'rm -r $folder' starts afresh" \
            link_package "$objects" "$env_python" "$site"
        echo "$wanted" >"$folder/.installed"
    fi
}

# install_extra NAME: what pyproject.toml lists under that name, too, into the
# environment that setup has made.
install_extra() {
    local stamp=$build/env-$env_version/.extra-$1 wanted requirements
    wanted=$(cksum <"$root/pyproject.toml")
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
    mapfile -t requirements < <(
        "$env_python" "$root/tools/lib/requirements.py" "$1")
    step "installing Python packages for $1" "$network_remedy" \
        pip_install "$env_python" "${requirements[@]}"
    echo "$wanted" >"$stamp"
}

# take_python "$@": if the arguments begin with --python X, sets python_request
# and taken=2, the number of arguments to shift.
take_python() {
    python_request='' taken=0
    case ${1:-} in
    --python) python_request=${2:?--python needs a version or a path}; taken=2 ;;
    --python=*) python_request=${1#*=}; taken=1 ;;
    esac
}
