#!/bin/sh
# Installs rustup from a mirror: finds this machine's triple, downloads rustup-init for it, checks its digest, and runs
# it.
#
#     curl -fsS BASE/rustup-init.sh | sh -s -- -y --default-toolchain stable
#
# All arguments go to rustup-init. Without --profile, the script adds the mirror's profile if it is smaller than rustup's
# default. FROSTMIRROR_TRIPLE overrides the detected triple.

BASE=@BASE@
# TOOLCHAIN TRIPLE PROFILE, if the mirror lacks the profile `default`.
PROFILES=@PROFILES@

say() {
    printf 'rustup-init.sh: %s\n' "$*" >&2
}

fail() {
    say "error: $*"
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Whether programs here are linked with musl. A glibc system may have musl's loader too, so ldd is checked first.
is_musl() {
    if has ldd; then
        case $(ldd --version 2>&1) in
        *musl*) return 0 ;;
        *) return 1 ;;
        esac
    fi
    for loader in /lib/ld-musl-*.so.1; do
        [ -e "$loader" ] && return 0
    done
    return 1
}

linux_triple() {
    libc=gnu
    if is_musl; then
        libc=musl
    fi
    # A 64-bit kernel may run a 32-bit system.
    bits=$(getconf LONG_BIT 2>/dev/null || echo 64)
    case $1/$bits in
    x86_64/32 | i386/* | i486/* | i586/* | i686/* | i786/* | x86/*) echo "i686-unknown-linux-$libc" ;;
    x86_64/* | x86-64/* | x64/* | amd64/*) echo "x86_64-unknown-linux-$libc" ;;
    aarch64/32 | armv7*/* | armv8l/*) echo "armv7-unknown-linux-${libc}eabihf" ;;
    aarch64/* | arm64/*) echo "aarch64-unknown-linux-$libc" ;;
    armv6l/*) echo "arm-unknown-linux-${libc}eabihf" ;;
    riscv64/*) echo "riscv64gc-unknown-linux-$libc" ;;
    s390x/*) echo "s390x-unknown-linux-$libc" ;;
    ppc64le/*) echo "powerpc64le-unknown-linux-$libc" ;;
    ppc64/*) echo "powerpc64-unknown-linux-$libc" ;;
    ppc/*) echo "powerpc-unknown-linux-$libc" ;;
    loongarch64/*) echo "loongarch64-unknown-linux-$libc" ;;
    *) return 1 ;;
    esac
}

# The triple of this machine; fails if it is unknown.
find_triple() {
    cpu=$(uname -m)
    case $(uname -s) in
    Linux)
        # Android reports Linux, but no mirrored toolchain runs there.
        [ "$(uname -o 2>/dev/null)" != Android ] && linux_triple "$cpu"
        ;;
    Darwin)
        # Under Rosetta, uname reports the emulated machine.
        if [ "$cpu" = arm64 ] || [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" = 1 ]; then
            echo aarch64-apple-darwin
        else
            echo x86_64-apple-darwin
        fi
        ;;
    FreeBSD | DragonFly | NetBSD)
        system=$(uname -s | tr '[:upper:]' '[:lower:]')
        case $cpu in
        amd64 | x86_64) echo "x86_64-unknown-$system" ;;
        i386 | i686) echo "i686-unknown-$system" ;;
        aarch64 | arm64) echo "aarch64-unknown-$system" ;;
        *) return 1 ;;
        esac
        ;;
    SunOS)
        [ "$(uname -o 2>/dev/null)" = illumos ] && echo x86_64-unknown-illumos
        ;;
    *) return 1 ;;
    esac
}

# download URL FILE
download() {
    if has curl; then
        curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"
    elif has wget; then
        wget -q -O "$2" "$1"
    else
        fail "found neither curl nor wget; install one of them"
    fi
}

# The SHA-256 of a file, as 64 hexadecimal digits.
digest() {
    if has sha256sum; then
        sha256sum <"$1" | cut -c1-64
    elif has shasum; then
        shasum -a 256 <"$1" | cut -c1-64
    elif has openssl; then
        openssl dgst -sha256 -r <"$1" | cut -c1-64
    elif has sha256; then
        sha256 -q <"$1"
    elif [ -x /usr/bin/digest ]; then
        /usr/bin/digest -a sha256 "$1"
    else
        fail "found none of sha256sum, shasum, openssl and sha256; install one of them"
    fi
}

# small_profile TRIPLE ARGS...: the profile to pass to rustup-init. Prints nothing if the arguments name a profile, or if the
# mirror has the default one.
small_profile() {
    host=$1
    shift
    toolchain=stable
    before=
    for word in "$@"; do
        case $before in
        --default-toolchain) toolchain=$word ;;
        --default-host) host=$word ;;
        esac
        case $word in
        --profile | --profile=*) return ;;
        --default-toolchain=*) toolchain=${word#*=} ;;
        --default-host=*) host=${word#*=} ;;
        esac
        before=$word
    done
    while read -r name triple profile; do
        case $toolchain in
        # If none is installed now, this applies to later installations.
        none | "$name" | "$name-$triple")
            if [ "$triple" = "$host" ]; then
                echo "$profile"
                return
            fi
            ;;
        esac
    done <<END
$PROFILES
END
}

main() {
    if [ -n "${FROSTMIRROR_TRIPLE:-}" ]; then
        triple=$FROSTMIRROR_TRIPLE
    else
        triple=$(find_triple) ||
            fail "the triple of this machine ($(uname -s) $(uname -m)) is unknown; set FROSTMIRROR_TRIPLE to it," \
                "or run rustup-init.ps1 on Windows"
    fi
    case $triple in
    *[!A-Za-z0-9_.-]*) fail "'$triple' is not a triple" ;;
    *windows*) program=rustup-init.exe ;;
    *) program=rustup-init ;;
    esac

    folder=$(mktemp -d) || fail "could not make a temporary folder"
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    url=$BASE/rustup/dist/$triple/$program
    if ! download "$url.sha256" "$folder/$program.sha256" || ! download "$url" "$folder/$program"; then
        say "error: could not download $url"
        fail "either $BASE cannot be reached, or it has no rustup for $triple; then add that triple to the next bundle"
    fi

    # The file name after the digest is ignored.
    wanted=
    read -r wanted _ <"$folder/$program.sha256" || [ -n "$wanted" ] || fail "$url.sha256 is empty"
    case $wanted in
    *[!0-9a-f]*) wanted= ;;
    esac
    [ ${#wanted} -eq 64 ] || fail "$url.sha256 is not a SHA-256 digest"
    found=$(digest "$folder/$program") || exit 1
    [ "$found" = "$wanted" ] ||
        fail "$url is damaged and was not run: its SHA-256 is $found, expected $wanted"

    chmod u+x "$folder/$program" || fail "could not make $folder/$program executable"
    [ -x "$folder/$program" ] ||
        fail "programs cannot be run in $folder; set TMPDIR to a folder on another file system"

    # rustup reads its server from the environment only.
    RUSTUP_DIST_SERVER=$BASE
    RUSTUP_UPDATE_ROOT=$BASE/rustup
    RUSTUP_BACKTRACK_LIMIT=1
    export RUSTUP_DIST_SERVER RUSTUP_UPDATE_ROOT RUSTUP_BACKTRACK_LIMIT

    profile=$(small_profile "$triple" "$@")
    if [ -n "$profile" ]; then
        say "the mirror has no larger profile than '$profile', so rustup-init runs with --profile $profile"
        set -- "$@" --profile "$profile"
    fi

    asks=yes
    for word in "$@"; do
        case $word in
        -y | --no-confirm | -h | --help | -V | --version) asks=no ;;
        --*) ;;
        # Short flags may be combined, as in -vy.
        -*y*) asks=no ;;
        esac
    done
    if [ "$asks" = no ] || [ -t 0 ]; then
        "$folder/$program" "$@"
    elif [ -t 1 ] && (: </dev/tty) 2>/dev/null; then
        # stdin is this script; rustup-init asks the terminal.
        "$folder/$program" "$@" </dev/tty
    else
        fail "rustup-init asks questions, but there is no terminal; pass -y, as in: sh -s -- -y"
    fi
    status=$?
    if [ $status -eq 0 ]; then
        say "rustup reads its mirror from the environment. To set it for every shell, add the lines of"
        say "$BASE/api/setup/rustup-env.sh to your shell's profile."
    fi
    exit $status
}

# The call is the last line, so that a truncated script does nothing.
main "$@"
