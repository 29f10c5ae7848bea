#!/usr/bin/env bash
# Imports the recordings that the scenarios beside this file replay.
#
#   scenarios/real/import.sh RAW OUT [SET...]
#
# RAW holds the folders `real/` and `parity/` (docs/datasets.md says where each recording is public), OUT receives a
# dataset folder a market, for `crossbook replay SCENARIO --data-root OUT`. SET is any of: triple link kimchi parity; all
# when none is named. A dataset that is already there is left alone, so the script can be run again after a failure.
# CROSSBOOK names the program (default: the one on PATH, else target/release/crossbook).
set -euo pipefail

if [ $# -lt 2 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
raw=$1 out=$2
shift 2
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
crossbook=${CROSSBOOK:-$(command -v crossbook || echo "$repository/target/release/crossbook")}
mkdir -p "$out"

# dataset NAME COMMAND...: runs `crossbook dataset COMMAND... --out OUT` unless NAME is there (of several, the last made).
dataset() {
  local name=$1
  shift
  if [ -f "$out/$name/dataset.toml" ]; then
    echo "$name: already there"
  else
    echo "$name: crossbook dataset $*"
    "$crossbook" dataset "$@" --out "$out"
  fi
}

# Spot and USD-M perpetual, one host, raw frames. The host's clock is 1.27 s behind; each import finds that out and leaves
# its smallest latency at the 1 ms that a host near the venue may see. The exchange's own book tickers become datasets
# of their own, for comparison.
triple() {
  local symbol
  for symbol in btcusdt ethusdt; do
    dataset "binance-$symbol" import "$raw/real/binance_triple_20240808/spot_${symbol}_20240808.gz" \
      --stream depth,trade --venue binance --min-latency-ms 1 \
      --source "nkaz001/hftbacktest, examples/spot" --licence MIT
    dataset "binance-usdm-$symbol" import "$raw/real/binance_triple_20240808/usdm_${symbol}_20240808.gz" \
      --stream depth,trade --venue binance-usdm --min-latency-ms 1 \
      --source "nkaz001/hftbacktest, examples/usdm" --licence MIT
  done
  dataset binance-btcusdt-quotes import "$raw/real/binance_triple_20240808/spot_btcusdt_20240808.gz" \
    --stream bookTicker --venue binance --source "nkaz001/hftbacktest, examples/spot" --licence MIT
  dataset binance-usdm-btcusdt-quotes import "$raw/real/binance_triple_20240808/usdm_btcusdt_20240808.gz" \
    --stream bookTicker --venue binance-usdm --min-latency-ms 1 \
    --source "nkaz001/hftbacktest, examples/usdm" --licence MIT
}

# Ten levels once a second at two venues, one clock. Huobi's sizes carry the noise of floats: cut at 1e-8.
link() {
  local pair=$raw/real/pair_binance_huobi_linkusdt_20210820
  dataset binance-linkusdt import "$pair/orderbook_bnc_first_hour.csv.gz" --format wide-csv \
    --venue binance --timezone UTC --cut-sizes --source "DasAnish/DeFi-arbitrage" --licence MIT
  dataset huobi-linkusdt import "$pair/orderbook_hb_first_hour.csv.gz" --format wide-csv \
    --venue huobi --timezone UTC --cut-sizes --source "DasAnish/DeFi-arbitrage" --licence MIT
}

# Books laid over the minute candles of Upbit and Binance, from Upbit's first candle to its last. And two editions of the
# ECB's rates: as they became known (16:00 in Frankfurt), and as if each had been known from its day's first instant.
kimchi() {
  local rates=$raw/real/fx_daily/ecb_eur_usd_krw_jpy_2017_2026.csv.gz
  dataset kimchi-binance-btcusdt synth "$repository/datasets/specs/kimchi.toml" --from-candles "$raw/real" \
    --set from=2024-08-24T22:28:00Z --set duration_s=16212000
  dataset ecb-usdkrw import "$rates" --preset ecb
  dataset ecb-usdkrw-same-day import "$rates" --preset ecb --published-at 00:00@UTC --name ecb-usdkrw-same-day
}

# A made feed with known fills.
parity() {
  dataset parity-b-btcusdt import "$raw/parity/feed.parquet" --format parity
}

for set in "${@:-triple link kimchi parity}"; do
  for one in $set; do
    case $one in
      triple | link | kimchi | parity) "$one" ;;
      *)
        echo "no set \`$one\`; there are: triple link kimchi parity" >&2
        exit 2
        ;;
    esac
  done
done
