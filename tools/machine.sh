# What the machine must have, and the virtual environment. Sourced by tools/demo and tools/test,
# never run. System packages come from apt, everything else from PyPI into .venv; nothing else on
# the machine is touched.
# shellcheck shell=bash

# A Python with its C headers, and a compiler for the native module.
readonly BUILD_PACKAGES=(gcc libc6-dev)
# What makes hosts out of one machine, what a mesh is steered and a tunnel is looked at with.
readonly DEMO_PACKAGES=(iperf3 iproute2 iputils-ping nftables procps util-linux wireguard-tools)
# wireguard-go may be missing from the machine's archive; the demonstration then plays both parts.
readonly PEER_PACKAGES=(wireguard-go)
readonly TEST_PACKAGES=(
    busybox-static conntrack cpio ethtool iptables libsodium23 ncat openresolv psmisc
    qemu-system-x86 systemd tcpdump tshark valgrind
)

# Builds the official discovery client and the newest wireguard-go. Any other Go will do as well.
readonly GO_PACKAGES=(golang-go)

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

may_become_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints those of the packages that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        is_installed "$package" || printf '%s\n' "$package"
    done
}

# Prints those of the packages that the machine's archive has.
known_packages() {
    local package
    for package in "$@"; do
        if apt-cache show --no-all-versions "$package" >/dev/null 2>&1; then
            printf '%s\n' "$package"
        else
            say "  (this machine's archive has no $package)"
        fi
    done
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

# Reads the archive's lists anew, once a run.
refresh_lists() {
    [ -z "${lists_are_fresh:-}" ] || return 0
    lists_are_fresh=yes
    apt_get update || say "(the package lists could not be refreshed; trying with those that are here)"
}

# Leaves the packages installed, or says the line that would do it and fails.
install_packages() {
    local missing known
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "This machine has no apt. What follows needs what Debian calls: ${missing[*]}"
        return 1
    fi
    if ! may_become_root; then
        say "These packages are missing, and only root can install them:"
        say ""
        say "    sudo apt-get install --yes --no-install-recommends ${missing[*]}"
        say ""
        return 1
    fi
    say "installing ${missing[*]}"
    refresh_lists
    mapfile -t known < <(known_packages "${missing[@]}")
    [ ${#known[@]} -eq 0 ] || apt_get install --yes --no-install-recommends "${known[@]}" >/dev/null
}

# ------------------------------------------------------------------------------------- Python

# Whether this interpreter can make a virtual environment and compile for itself.
is_usable_python() {
    "$1" - >/dev/null 2>&1 <<'PYTHON'
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(sys.version_info < (3, 11) or not os.path.exists(header))
PYTHON
}

# Prints the newest usable interpreter; a name may stand for several (pyenv's, the system's).
find_python() {
    local name candidate
    for name in ${KUBESPAN_PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        while read -r candidate; do
            if is_usable_python "$candidate"; then
                printf '%s\n' "$candidate"
                return 0
            fi
        done < <(type -aP "$name")
    done
    return 1
}

# Prints the packages that bring a usable interpreter: the system's own where it is new enough.
python_packages() {
    local version
    if /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        printf '%s\n' python3-venv python3-dev
        return
    fi
    for version in 3.14 3.13 3.12 3.11; do
        if apt-cache show "python$version-venv" >/dev/null 2>&1; then
            printf '%s\n' "python$version" "python$version-venv" "python$version-dev"
            return
        fi
    done
    printf '%s\n' python3 python3-venv python3-dev
}

install_python() {
    find_python >/dev/null && return
    if may_become_root && command -v apt-get >/dev/null; then refresh_lists; fi
    local packages
    mapfile -t packages < <(python_packages)
    install_packages "${packages[@]}" || die "kubespan needs Python 3.11 or newer to build."
    find_python >/dev/null || die "No Python 3.11 or newer with venv and its headers was found."
}

# -------------------------------------------------------------------------- virtual environment

# Makes .venv hold this checkout and the extras named, and does nothing when it already does.
make_environment() {
    local extras=$1 python version wanted stamp
    python=$(find_python)
    version=$("$python" -c 'import sys; print(*sys.version_info[:3], sep=".")')
    wanted="$PWD $version $(cat pyproject.toml setup.py | sha256sum)"
    stamp=".venv/ready${extras:+-$extras}"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        # Through a link it would be emptied for everybody else who uses it.
        [ ! -L .venv ] || die ".venv is a link to what is not ready for this checkout; remove the link, and run this again."
        say "making .venv with Python $version"
        environment_is "$version" || "$python" -m venv --clear .venv
        local pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check)
        "${pip[@]}" install 'setuptools>=77' 'cython>=3.1'
        KUBESPAN_PURE=1 "${pip[@]}" install --no-build-isolation --editable ".${extras:+[$extras]}"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    build_native
}

environment_is() {
    [ "$(.venv/bin/python -c 'import sys; print(*sys.version_info[:3], sep=".")' 2>/dev/null)" = "$1" ] &&
        grep -qsF "$PWD" .venv/bin/activate
}

# Compiles what changed since the last time; says nothing unless it fails.
build_native() {
    local log=build/native.log
    mkdir -p build
    if ! .venv/bin/python setup.py --quiet build_ext --inplace >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "The native module did not build; the whole log is in $log."
    fi
}
