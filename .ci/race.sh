#!/bin/sh
# ThreadSanitizer over the stress tests of rings and feeds: those whose name says that they run two threads.
# std is not built anew, so a stable compiler does; what that makes look like a race is in rust/models/tsan.txt.
set -eu

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
export TSAN_OPTIONS="suppressions=$PWD/rust/models/tsan.txt halt_on_error=0"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/race"

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'fn main() { std::thread::spawn(|| ()).join().unwrap(); }' >"$probe/probe.rs"
# shellcheck disable=SC2086
if ! { rustc $RUSTFLAGS --target "$host" -o "$probe/probe" "$probe/probe.rs" && "$probe/probe"; } >"$probe/log" 2>&1; then
    echo "race: this tool chain has no ThreadSanitizer for $host: $(grep -m1 . "$probe/log")" >&2
    exit 1
fi
cargo test --quiet --locked --package tickrail-core --lib --target "$host" -- two_threads
