#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks: libclang (RocksDB's bindings), a C++ compiler, Python with venv.
# As root or with sudo it installs; otherwise it prints the one command to run.
set -euo pipefail

missing=()
# `libclang-cpp.so` is another library: a machine with that one alone fails ten minutes later, in the middle of the build.
have_libclang() { [[ "$( { ldconfig -p; ls /usr/lib/llvm-*/lib; } 2>/dev/null)" =~ libclang(-[0-9.]+)?\.so ]]; }
have_libclang || missing+=(libclang-dev)
command -v g++ >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
if [ "${1:-}" = "--test" ]; then
    command -v python3 >/dev/null || missing+=(python3)
    compgen -G '/usr/lib*/faketime/libfaketimeMT.so.1' >/dev/null || \
        compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(faketime)
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
    command -v softhsm2-util >/dev/null || missing+=(softhsm2) # a token of software, for the log key
    command -v openssl >/dev/null || missing+=(openssl) # the other opinion on SM2 signatures and certificates
    command -v strace >/dev/null || missing+=(strace) # makes a sync fail
    command -v mount >/dev/null || missing+=(mount)   # mounts the disk that forgets, over /dev/fuse
    # The overload harness holds the hub to part of a CPU: a control group, or this.
    [ -w /sys/fs/cgroup/cpu/cgroup.procs ] || [ -w /sys/fs/cgroup/cgroup.procs ] || command -v cpulimit >/dev/null || missing+=(cpulimit)
fi
[ "${#missing[@]}" -eq 0 ] && exit 0

install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
    echo "installing ${missing[*]} …" >&2
    DEBIAN_FRONTEND=noninteractive sh -c "$install" >&2
elif sudo -n true 2>/dev/null; then
    echo "installing ${missing[*]} with sudo …" >&2
    sudo sh -c "$install" >&2
else
    echo "This machine lacks ${missing[*]}. Run this once, then try again:" >&2
    echo "  sudo sh -c '$install'" >&2
    exit 1
fi
