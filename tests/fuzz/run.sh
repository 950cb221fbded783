#!/usr/bin/env bash
# Tries hostile bytes on every reader of outside files: `run.sh SECONDS [TARGET…]`. Two targets at a time; ends red if one found something.
# A find is left in $WUKU_FUZZ_OUT/finds; put it beside the corpus when its fault is repaired: that makes it a test.
# `run.sh control` plants a panic, a hang and a glutton in a target and demands that each is found.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${WUKU_FUZZ_OUT:-${CARGO_TARGET_DIR:-target}/../fuzz}
mkdir -p "$out/finds" "$out/seeds"
out=$(cd "$out" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
# One second and 256 MiB an input, whatever it is. Our code has no unsafe, so there is no sanitizer: a stable toolchain builds this.
limits=(-timeout=1 -rss_limit_mb=256 -max_len=65536 -print_final_stats=1 -verbosity=0)

build() {
    # libFuzzer's instrumentation is a plain compiler pass; cargo-fuzz asks for a nightly compiler's flags around it.
    cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null # cargo-fuzz itself takes no --locked
    RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --target-dir "$out/target"
}

# What this machine has found interesting before, what is committed, and the papers made to deceive.
one() {
    local target=$1 seconds=$2 folders pauses=0
    mkdir -p "$out/found/$target"
    folders=("$out/found/$target" "tests/fuzz/corpus/$target")
    [ "$target" != container ] || folders+=("$out/seeds" tests/samples/ofd)
    until "$out/target/$host/release/$target" "${limits[@]}" -max_total_time="$seconds" -artifact_prefix="$out/finds/$target-" \
        "${folders[@]}" >"$out/$target.log" 2>&1; do
        pauses=$((pauses + 1))
        if [ $pauses -gt 3 ] || ! only_a_pause "$target"; then
            tail -n 30 "$out/$target.log"
            echo "$target: FOUND SOMETHING, see $out/finds and $out/$target.log" >&2
            return 1
        fi
        echo "$target: the machine paused for a second; begun again" >&2
    done
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log") inputs, $(sed -n 's/^stat::peak_rss_mb: *//p' "$out/$target.log") MiB at most, nothing found"
}

# A hang hangs again: an input that took over a second while the machine stood still, and is quick three times alone, is none.
only_a_pause() {
    local target=$1 input
    input=$(sed -n 's/.*Test unit written to \(.*-timeout-.*\)$/\1/p' "$out/$target.log")
    [ -f "$input" ] || return 1
    for _ in 1 2 3; do
        "$out/target/$host/release/$target" "${limits[@]}" "$input" >/dev/null 2>&1 || return 1
    done
    rm "$input"
}

# Each fault must be found within seconds, and for what it is.
control() {
    local fault says failed=0
    rm -rf "$out/control" && mkdir -p "$out/control" # what a run learns goes into the first folder, never into the committed one
    while read -r fault says; do
        if WUKU_FUZZ_PLANT=$fault "$out/target/$host/release/rows" "${limits[@]}" -max_total_time=30 -artifact_prefix="$out/planted-" \
            "$out/control" tests/fuzz/corpus/rows >"$out/control.log" 2>&1; then
            echo "the planted $fault was not found: this harness finds nothing" >&2
            failed=1
        elif ! grep -aq "$says" "$out/control.log"; then
            echo "the planted $fault was taken for something else" >&2
            failed=1
        else
            echo "control: the planted $fault was found"
        fi
    done <<'FAULTS'
panic the planted fault
hang ALARM: working on the last Unit\|timeout after
memory out-of-memory
FAULTS
    return $failed
}

build
if [ "${1:-}" = control ]; then
    control
    exit
fi
seconds=$1
shift
python3 tests/papers/forge.py "$out/seeds" 1
rm -rf "$out/seeds/cases.json" "$out/seeds/anchors"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^path = "targets\/\(.*\)\.rs"/\1/p' tests/fuzz/Cargo.toml)
export -f one only_a_pause
export out host
export limits_line="${limits[*]}"
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'read -ra limits <<<"$limits_line"; one "$@"' one {} "$seconds"
