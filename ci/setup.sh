# What the machine must have before Nekton can be built and run, and how to get it.
#
# Sourced by ./nekton (and by ci/setup_test.sh); defines functions, does nothing by itself.
# The checks look at files and at two `--version` calls, so that a call on a ready machine
# costs next to nothing. Installing is Debian's apt and needs root; without either, the same
# list is printed with the command to type.
#
# Settings (for tests and for people who want to decide themselves):
#   NEKTON_NO_INSTALL=1   only report what is missing
#   NEKTON_APT_ETC        instead of /etc/apt      NEKTON_USR   instead of /usr

nk_apt_etc=${NEKTON_APT_ETC:-/etc/apt}
nk_usr=${NEKTON_USR:-/usr}
nk_rust_min=95   # minor number: rust-version 1.95 of Cargo.toml
nk_qemu_min=10   # 7.2 livelocks on several vCPUs under -icount
nk_missing=''    # lines "kind|packages|why", filled by the need_* functions

nk_say() { printf 'nekton: %s\n' "$*" >&2; }

nk_note_missing() {
    nk_missing="${nk_missing}$1|$2|$3
"
}

# --- what is here? ---------------------------------------------------------------------------

# True if version $1 (like 1.96.0) is Rust 1.$nk_rust_min or newer.
nk_rust_new_enough() {
    case $1 in
        1.*) nk_minor=${1#1.}; nk_minor=${nk_minor%%.*} ;;
        [2-9].*) return 0 ;;
        *) return 1 ;;
    esac
    [ "${nk_minor:-0}" -ge "$nk_rust_min" ] 2>/dev/null
}

# Debian's compiler, complete: compiler, cargo, library source, linker, and new enough.
nk_debian_rust_ready() {
    [ -x "$nk_usr/bin/rustc" ] && [ -x "$nk_usr/bin/cargo" ] && [ -x "$nk_usr/bin/rust-lld" ] &&
        [ -f "$nk_usr/lib/rustlib/src/rust/library/core/Cargo.toml" ] &&
        nk_rustc_new_enough "$nk_usr/bin/rustc"
}

# The compiler on the path (usually rustup's) carries the library source, so that it can build
# every target of ours itself.
nk_host_rust_ready() {
    nk_sysroot=$(rustc --print sysroot 2>/dev/null) || return 1
    [ -f "$nk_sysroot/lib/rustlib/src/rust/library/core/Cargo.toml" ] &&
        [ -x "$nk_sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld" ] &&
        nk_rustc_new_enough rustc
}

# Compiler $1 answers, and is new enough. (A rustup without a default toolchain does not answer.)
nk_rustc_new_enough() {
    nk_version=$("$1" --version 2>/dev/null) || return 1
    nk_version=${nk_version#rustc }
    nk_rust_new_enough "${nk_version%% *}"
}

# Major version of QEMU program $1, or nothing.
nk_qemu_major() {
    nk_line=$("$1" --version 2>/dev/null) || return 0
    nk_line=${nk_line#*version }
    echo "${nk_line%%.*}"
}

nk_qemu_ready() {
    [ "$(nk_qemu_major "$1" || true)" -ge "$nk_qemu_min" ] 2>/dev/null
}

# QEMU 10 with SeaBIOS 1.16.2 stalls half a minute before our first instruction. Only a QEMU
# from packages uses the packaged firmware.
nk_seabios_ready() {
    [ "$(command -v qemu-system-x86_64)" = "$nk_usr/bin/qemu-system-x86_64" ] || return 0
    command -v dpkg-query >/dev/null || return 0
    nk_bios=$(dpkg-query -W -f='${Version}' seabios 2>/dev/null) || return 1
    dpkg --compare-versions "$nk_bios" ge 1.16.3
}

# --- what is needed? -------------------------------------------------------------------------

nk_need_host() {
    command -v cc >/dev/null ||
        nk_note_missing plain 'gcc libc6-dev' 'the host linker, which Rust calls for our host tools'
    if command -v cargo >/dev/null && nk_rustc_new_enough rustc; then return 0; fi
    if nk_debian_rust_ready; then
        NEKTON_HOST_CARGO=$nk_usr/bin/cargo
        export NEKTON_HOST_CARGO
        return 0
    fi
    nk_note_missing rust 'rustc-web cargo-web' "a host Rust of version 1.$nk_rust_min or newer (rustup's would do as well)"
}

nk_need_guest_rust() {
    nk_debian_rust_ready || nk_host_rust_ready || nk_note_missing rust \
        'rustc-web cargo-web rust-web-src rust-web-llvm LLD rustfmt-web rust-web-clippy' \
        "Rust with its library's source and linker, for the bare-metal targets (\`rustup component add rust-src\` would do as well)"
}

nk_need_qemu() {
    if ! nk_qemu_ready qemu-system-x86_64 || ! nk_seabios_ready; then
        nk_note_missing qemu 'qemu-system-x86 seabios' "QEMU $nk_qemu_min or newer for x86_64, and the SeaBIOS that belongs to it (older ones hang or crawl)"
    fi
    nk_qemu_ready qemu-system-aarch64 ||
        nk_note_missing qemu 'qemu-system-arm' "QEMU $nk_qemu_min or newer for AArch64"
    { command -v dtc && command -v fdtoverlay; } >/dev/null ||
        nk_note_missing plain 'device-tree-compiler' "a compiler for device trees, for boards that differ from QEMU's"
}

# For tests only: the loader's other way in.
nk_need_grub() {
    { [ -x "$nk_usr/bin/grub-mkrescue" ] && [ -d "$nk_usr/lib/grub/i386-pc" ] &&
        [ -x "$nk_usr/bin/xorriso" ] && [ -x "$nk_usr/bin/mformat" ]; } || nk_note_missing plain \
        'grub-common grub-pc-bin xorriso mtools' 'a CD from which GRUB boots Nekton by Multiboot2, for the tests'
}

# --- a package source for backports, derived from the machine's own ----------------------------

# Prints the first deb822 stanza of file $2 that serves suite $1 itself (not its -security),
# with its Suites replaced by $1-backports.
nk_backports_from_deb822() {
    awk -v codename="$1" '
        function finish(   i) {
            if (good && !off && types) {
                for (i = 1; i <= n; i++) print line[i]
                found = 1
                exit
            }
            n = 0; good = 0; off = 0; types = 0; skip = 0
        }
        /^#/ { next }
        /^[ \t]*$/ { finish(); next }
        /^[ \t]/ { if (skip) { check($0) } else { line[++n] = $0 } ; next }
        function check(text,   w, i, k) {
            k = split(text, w, /[ \t]+/)
            for (i = 1; i <= k; i++)
                if (w[i] == codename || w[i] == "stable" || w[i] == "oldstable") good = 1
        }
        {
            key = tolower($1)
            skip = 0
            if (key == "types:") {
                skip = 1
                if ($0 ~ /(^|[ \t])deb([ \t]|$)/) { types = 1; line[++n] = "Types: deb" }
            } else if (key == "suites:") {
                skip = 1
                check($0)
                line[++n] = "Suites: " codename "-backports"
            } else if (key == "enabled:" && tolower($2) == "no") {
                off = 1
            } else {
                line[++n] = $0
            }
        }
        END { if (!found) finish() }
    ' "$2"
}

# The same for a one-line file (`deb [options] address suite components`).
nk_backports_from_list() {
    sed -n -E "s/^[[:space:]]*deb[[:space:]]+((\[[^]]*\][[:space:]]+)?[^[:space:]]+)[[:space:]]+($1|stable|oldstable)[[:space:]]+(.*)\$/deb \1 $1-backports \4/p" "$2" | head -n 1
}

# Writes the derived source for suite $1-backports and prints its file name; fails if the
# machine has no source to derive it from.
nk_write_backports_source() {
    for nk_file in "$nk_apt_etc"/sources.list.d/*.sources; do
        [ -f "$nk_file" ] || continue
        nk_stanza=$(nk_backports_from_deb822 "$1" "$nk_file")
        if [ -n "$nk_stanza" ]; then
            printf '%s\n' "$nk_stanza" >"$nk_apt_etc/sources.list.d/nekton-backports.sources"
            echo "$nk_apt_etc/sources.list.d/nekton-backports.sources"
            return 0
        fi
    done
    for nk_file in "$nk_apt_etc/sources.list" "$nk_apt_etc"/sources.list.d/*.list; do
        [ -f "$nk_file" ] || continue
        nk_stanza=$(nk_backports_from_list "$1" "$nk_file")
        if [ -n "$nk_stanza" ]; then
            printf '%s\n' "$nk_stanza" >"$nk_apt_etc/sources.list.d/nekton-backports.list"
            echo "$nk_apt_etc/sources.list.d/nekton-backports.list"
            return 0
        fi
    done
    return 1
}

# --- installing --------------------------------------------------------------------------------

# On a terminal apt shows its own progress; elsewhere its many lines go to a file, which is
# shown if it fails.
nk_apt() {
    nk_say "apt-get $*"
    set -- -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
    if [ -t 2 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get "$@" </dev/null >&2
        return
    fi
    mkdir -p build/logs
    DEBIAN_FRONTEND=noninteractive apt-get "$@" </dev/null >build/logs/apt.log 2>&1 && return 0
    cat build/logs/apt.log >&2
    return 1
}

# True if package $1 in suite $2 (or any, when empty) is of version $nk_qemu_min or newer.
nk_qemu_offered() {
    apt-cache madison "$1" 2>/dev/null | awk -F'|' -v min="$nk_qemu_min" -v suite="$2" '
        index($3, suite) { v = $2; sub(/^ *([0-9]+:)?/, "", v); if (v + 0 >= min) ok = 1 }
        END { exit !ok }'
}

nk_install_qemu() {
    nk_codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    nk_candidate=$(apt-cache policy qemu-system-x86 | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}\([0-9]*\).*/\2/p')
    if [ "${nk_candidate:-0}" -ge "$nk_qemu_min" ]; then
        nk_apt install --no-install-recommends "$@"
        return
    fi
    if ! nk_qemu_offered qemu-system-x86 "$nk_codename-backports"; then
        nk_source=$(nk_write_backports_source "$nk_codename") || {
            nk_say "QEMU $nk_qemu_min is not offered here and no package source for '$nk_codename' was found to derive $nk_codename-backports from; add that suite, then call again"
            return 1
        }
        nk_say "added $nk_source ($nk_codename-backports, derived from this machine's own source)"
        nk_apt update
    fi
    nk_apt install --no-install-recommends -t "$nk_codename-backports" "$@"
}

# The linker's package carries LLVM's number: the one that Debian's Rust was built with.
nk_lld_package() {
    apt-cache depends rust-web-llvm 2>/dev/null | sed -n 's/.*Depends: llvm-\([0-9]*\)$/lld-\1/p' | head -n 1
}

nk_packages_of() {
    printf '%s' "$nk_missing" | awk -F'|' -v kind="$1" '$1 == kind { n = split($2, w, " "); for (i = 1; i <= n; i++) if (!seen[w[i]]++) printf "%s ", w[i] }'
}

# Replaces the placeholder for the linker in a list of packages. While the package lists are
# not there yet, by the command that finds it out.
nk_with_lld() {
    nk_lld=$(nk_lld_package)
    [ -n "$nk_lld" ] || nk_lld="\$(apt-cache depends rust-web-llvm | sed -n 's|.*Depends: llvm-|lld-|p')"
    awk -v lld="$nk_lld" '{ at = index($0, "LLD"); if (at) $0 = substr($0, 1, at - 1) lld substr($0, at + 3); print }'
}

nk_rust_packages() {
    nk_packages_of rust | nk_with_lld
}

nk_list_missing() {
    printf '%s' "$nk_missing" | while IFS='|' read -r nk_kind nk_pkgs nk_why; do
        printf '  %s\n      %s\n' "$(printf '%s\n' "$nk_pkgs" | sed 's/LLD/lld/')" "$nk_why" >&2
    done
}

nk_print_commands() {
    nk_codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
    nk_list=$(nk_packages_of plain)$(nk_rust_packages)
    [ -z "$nk_list" ] || nk_say "as root on Debian: apt-get update; apt-get install --no-install-recommends $nk_list"
    nk_list=$(nk_packages_of qemu)
    [ -z "$nk_list" ] || case $nk_codename in
        bookworm) nk_say "as root on Debian 12: add the suite bookworm-backports, then apt-get update; apt-get install --no-install-recommends -t bookworm-backports $nk_list" ;;
        *) nk_say "as root on Debian 13: apt-get update; apt-get install --no-install-recommends $nk_list" ;;
    esac
}

# Installs what the need_* functions noted; returns at once if that is nothing.
nk_install_missing() {
    [ -n "$nk_missing" ] || return 0
    nk_say 'this machine lacks:'
    nk_list_missing
    if [ -n "${NEKTON_NO_INSTALL:-}" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        nk_print_commands
        return 1
    fi
    nk_say 'installing it now (once)'
    nk_apt update || nk_say 'the package lists could not be refreshed; going on with the old ones'
    nk_list=$(nk_packages_of plain)$(nk_rust_packages)
    # Unquoted: a list of package names.
    # shellcheck disable=SC2086
    [ -z "$nk_list" ] || nk_apt install --no-install-recommends $nk_list || return 1
    nk_list=$(nk_packages_of qemu)
    # shellcheck disable=SC2086
    [ -z "$nk_list" ] || nk_install_qemu $nk_list || return 1
    nk_missing=''
}
