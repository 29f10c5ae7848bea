#!/usr/bin/env bash
# Builds the bench, prepares the feed once, and prints the table of medians. Argument: runs per row (5).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${CROSSBOOK_DATA:?set it to the folder that holds parity/feed.parquet}"
target=${CARGO_TARGET_DIR:-target}
data=$target/parity-data
cargo build --release --quiet
[ -s "$data/rows" ] || "$target/release/hftbacktest-bench" prepare "$CROSSBOOK_DATA/parity" "$data"
exec "$target/release/hftbacktest-bench" all "$data" "${1:-5}"
