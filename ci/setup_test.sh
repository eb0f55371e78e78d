#!/bin/sh
# Tests of ci/setup.sh without installing anything: a made-up /etc/apt and made-up programs.
# Runs as part of `./nekton test host`; prints one line per failure and a summary.
set -u
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

check() {
    # check NAME EXPECTED GOT
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL setup: %s\n--- expected\n%s\n--- got\n%s\n' "$1" "$2" "$3"
    fi
}

NEKTON_APT_ETC=$work/apt
NEKTON_USR=$work/usr
mkdir -p "$work/apt/sources.list.d" "$work/usr/bin" "$work/path"
. ci/setup.sh

# A program called $2 in folder $1 that prints $3.
program() {
    printf '#!/bin/sh\necho "%s"\n' "$3" >"$1/$2"
    chmod +x "$1/$2"
}

# --- deriving a package source ---
cat >"$work/deb822" <<'END'
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
END
check 'deb822: the main stanza, with its embedded key' \
    'Types: deb
URIs: http://mirror.example/debian
Suites: bookworm-backports
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF' "$(nk_backports_from_deb822 bookworm "$work/deb822")"
check 'deb822: no stanza for another release' '' "$(nk_backports_from_deb822 trixie "$work/deb822")"

cat >"$work/list" <<'END'
# deb http://mirror.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm main contrib
END
check 'one-line: options and components are kept' \
    'deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm-backports main contrib' \
    "$(nk_backports_from_list bookworm "$work/list")"
printf 'deb\thttp://mirror.example/debian\tbookworm\tmain\n' >"$work/tabs"
check 'one-line: tabs' 'deb http://mirror.example/debian bookworm-backports main' \
    "$(nk_backports_from_list bookworm "$work/tabs")"

nk_write_backports_source bookworm >/dev/null
check 'no source at all is a failure' 1 $?
cp "$work/list" "$work/apt/sources.list"
check 'written from sources.list' "$work/apt/sources.list.d/nekton-backports.list" \
    "$(nk_write_backports_source bookworm)"
cp "$work/deb822" "$work/apt/sources.list.d/debian.sources"
check 'a .sources file comes first' "$work/apt/sources.list.d/nekton-backports.sources" \
    "$(nk_write_backports_source bookworm)"
check 'the written file is the derived stanza' "$(nk_backports_from_deb822 bookworm "$work/deb822")" \
    "$(cat "$work/apt/sources.list.d/nekton-backports.sources")"

# --- versions ---
for version in 1.95.0 1.96.0 1.120.3-nightly 2.0.0; do
    check "Rust $version is new enough" 0 "$(nk_rust_new_enough "$version"; echo $?)"
done
for version in 1.94.1 1.63.0 '' nonsense; do
    check "Rust $version is too old" 1 "$(nk_rust_new_enough "$version"; echo $?)"
done

# --- what is missing, with made-up programs and nothing else on the path ---
real_path=$PATH
for tool in sh awk sed cat head dpkg dpkg-query; do
    ln -s "$(command -v "$tool")" "$work/path/$tool"
done
missing() {
    nk_missing=''
    unset NEKTON_HOST_CARGO
    PATH=$work/path
    "$@"
    PATH=$real_path
    nk_packages=$(printf '%s' "$nk_missing" | cut -d'|' -f2)
}

missing nk_need_host
check 'an empty machine needs a linker and a Rust' 'gcc libc6-dev
rustc-web cargo-web' "$nk_packages"
missing nk_need_guest_rust
check 'an empty machine needs the library source' \
    'rustc-web cargo-web rust-web-src rust-web-llvm LLD rustfmt-web rust-web-clippy' "$nk_packages"
missing nk_need_qemu
check 'an empty machine needs both machines, and device trees' 'qemu-system-x86 seabios
qemu-system-arm
device-tree-compiler' "$nk_packages"
program "$work/path" dtc ''
missing nk_need_qemu
check 'a compiler without overlays does not do' 'qemu-system-x86 seabios
qemu-system-arm
device-tree-compiler' "$nk_packages"
program "$work/path" fdtoverlay ''
missing nk_need_grub
check 'an empty machine needs GRUB for the tests' 'grub-common grub-pc-bin xorriso mtools' "$nk_packages"

program "$work/path" cc ''
program "$work/path" cargo 'cargo 1.95.0'
program "$work/path" rustc 'rustc 1.80.0 (x)'
missing nk_need_host
check 'an old Rust does not do' 'rustc-web cargo-web' "$nk_packages"
program "$work/path" rustc 'rustc 1.95.0 (x)'
missing nk_need_host
check 'a new one does' '' "$nk_packages"
missing nk_need_guest_rust
check 'without library source the guest needs more' \
    'rustc-web cargo-web rust-web-src rust-web-llvm LLD rustfmt-web rust-web-clippy' "$nk_packages"

program "$work/usr/bin" rustc 'rustc 1.96.0 (y)'
program "$work/usr/bin" cargo 'cargo 1.96.0'
program "$work/usr/bin" rust-lld ''
mkdir -p "$work/usr/lib/rustlib/src/rust/library/core"
: >"$work/usr/lib/rustlib/src/rust/library/core/Cargo.toml"
missing nk_need_guest_rust
check 'the packaged Rust does' '' "$nk_packages"
rm "$work/path/cargo" "$work/path/rustc"
missing nk_need_host
check 'the packaged Rust does for the host too' '' "$nk_packages"
check 'and is then named' "$work/usr/bin/cargo" "${NEKTON_HOST_CARGO:-}"

program "$work/path" qemu-system-aarch64 'QEMU emulator version 10.0.2 (Debian)'
program "$work/path" qemu-system-x86_64 'QEMU emulator version 7.2.22 (Debian)'
missing nk_need_qemu
check 'an old QEMU does not do' 'qemu-system-x86 seabios' "$nk_packages"
program "$work/path" qemu-system-x86_64 'QEMU emulator version 10.0.2 (Debian)'
missing nk_need_qemu
check 'a new one does' '' "$nk_packages"

# A packaged QEMU needs the packaged firmware of its time.
nk_usr=$work/path
rm "$work/path/dpkg-query"
mkdir "$work/path/bin"
mv "$work/path/qemu-system-x86_64" "$work/path/bin/"
with_bios() {
    program "$work/path" dpkg-query "$1"
    PATH=$work/path/bin:$work/path
    nk_seabios_ready
    nk_status=$?
    PATH=$real_path
    echo "$nk_status"
}
check 'SeaBIOS of bookworm stalls QEMU 10' 1 "$(with_bios 1.16.2-1)"
check 'SeaBIOS of backports does' 0 "$(with_bios '1.16.3-2~bpo12+1')"
nk_usr=$work/usr

# --- not installing ---
nk_missing=''
nk_note_missing plain 'gcc libc6-dev' 'the host linker'
nk_said=$(NEKTON_NO_INSTALL=1 nk_install_missing 2>&1)
check 'refusing to install is a failure' 1 $?
case $nk_said in
    *'apt-get install --no-install-recommends gcc libc6-dev'*) check 'the command is printed' 0 0 ;;
    *) check 'the command is printed' 'apt-get install … gcc libc6-dev' "$nk_said" ;;
esac
mkdir "$work/apt-bin"
printf '#!/bin/sh\necho "  Depends: libc6"; echo "  Depends: llvm-22"\n' >"$work/apt-bin/apt-cache"
chmod +x "$work/apt-bin/apt-cache"
check "the linker of Debian's Rust is found" 'a lld-22 b' \
    "$(PATH=$work/apt-bin:$PATH; echo 'a LLD b' | nk_with_lld)"
program "$work/apt-bin" apt-cache ''
check 'or how to find it is told' "a \$(apt-cache depends rust-web-llvm | sed -n 's|.*Depends: llvm-|lld-|p') b" \
    "$(PATH=$work/apt-bin:$PATH; echo 'a LLD b' | nk_with_lld)"
nk_missing=''
check 'nothing missing, nothing said' '' "$(nk_install_missing 2>&1)"

echo "setup: $passed passed, $failed failed"
[ "$failed" = 0 ]
