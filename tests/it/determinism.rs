//! The same question gives the same answer: digests, files, ledgers, and no look into the future (laws C4, C5, C8).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crossbook::dataset::synth::{FundingSpec, OutageSpec, PremiumSpec, Spec, TradesSpec};
use crossbook::runner::setup::Setup;
use crossbook::sink::run_dir;
use crossbook_engine::event::Chunk;
use crossbook_engine::instrument::VenueKind;
use crossbook_engine::ledger::Ledger;
use crossbook_engine::order::{Leg, OrderStatus};
use crossbook_engine::records::Rows;
use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Qty, TimestampNs};

use super::lab::{self, SCENARIO, Streamed};

/// A market with something of everything: bursts, outages, trades, a premium that comes back.
fn eventful(seconds: u64) -> Spec {
    let mut spec = lab::no_edge_spec();
    spec.duration_s = Some(seconds);
    spec.premium = Some(PremiumSpec::Ou {
        mean_bps: 0.0,
        sd_bps: 60.0,
        half_life_s: 120.0,
        start_bps: None,
    });
    for market in [&mut spec.a, &mut spec.b] {
        market.trades = Some(TradesSpec {
            per_s: 1.0,
            median_qty: Qty::parse("0.05").unwrap(),
            sigma: 1.0,
        });
        market.outages = Some(OutageSpec {
            per_day: 150.0,
            mean_s: 20.0,
            at: Vec::new(),
        });
        // Thin, so that orders fill in part.
        market.book.top_qty = Qty::parse("0.004").unwrap();
        market.book.levels = 4;
    }
    spec
}

/// Limit orders that run late into thin books: partial fills, broken pairs, repairs.
const EVENTFUL: [&str; 6] = [
    "execution.order=limit",
    "execution.limit_collar_bps=1",
    "execution.leg_timeout_ms=300",
    "strategy.size={ quantity = \"0.02\" }",
    "strategy.max_hold_s=300",
    "venues.binance.order_latency={ model = \"lognormal\", median_ms = 700, sigma = 1.0 }",
];

fn room(spec: &Spec) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    lab::write_market(folder.path(), spec);
    std::fs::write(folder.path().join("scenario.toml"), SCENARIO).unwrap();
    folder
}

fn with_sets<'a>(args: &[&'a str], sets: &[&'a str]) -> Vec<&'a str> {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    args.iter().copied().chain(sets).collect()
}

/// The files of a directory with what is in them, less what tells the time that the run took.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let mut bytes = std::fs::read(entry.path()).unwrap();
        if name == "summary.json" {
            let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            for key in ["seconds", "events_per_second", "out_dir"] {
                assert!(json.as_object_mut().unwrap().remove(key).is_some(), "{key}");
            }
            bytes = json.to_string().into_bytes();
        }
        if name == "BLAKE3SUMS" {
            let text = String::from_utf8(bytes).unwrap();
            let kept: Vec<&str> = text.lines().filter(|line| !line.ends_with("summary.json")).collect();
            bytes = kept.join("\n").into_bytes();
        }
        files.insert(name, bytes);
    }
    files
}

/// C5: twice, and with any number of threads, the run directory is the same byte for byte; so are its pictures.
#[test]
fn c5_a_run_is_the_same_bytes_with_any_number_of_threads() {
    let folder = room(&eventful(1200));
    let mut first: Option<BTreeMap<String, Vec<u8>>> = None;
    for (round, threads) in ["1", "1", "2", "4"].into_iter().enumerate() {
        let out = format!("out-{round}");
        let mut args = vec![
            "replay",
            "scenario.toml",
            "--out",
            &out,
            "--id",
            "run",
            "--csv",
            "--quiet",
        ];
        if round > 1 {
            args.push("--no-plots");
        }
        let output = lab::crossbook(folder.path(), &with_sets(&args, &EVENTFUL))
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut files = contents(&folder.path().join(&out).join("run"));
        let first = first.get_or_insert_with(|| files.clone());
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        if round > 1 {
            // Without pictures: the rest must be there all the same.
            let made = |name: &str| name.ends_with(".png") || name.ends_with(".svg") || name.ends_with(".html");
            let pictures: Vec<_> = first.iter().filter(|(name, _)| made(name)).collect();
            files.extend(pictures.into_iter().map(|(name, bytes)| (name.clone(), bytes.clone())));
        }
        assert_eq!(names(first), names(&files));
        assert!(first.contains_key("fills.csv") && first.contains_key("equity.png"));
        for (name, bytes) in first {
            // The report names the time that the replay took.
            assert!(
                *bytes == files[name] || name == "report.html",
                "{name} with {threads} threads"
            );
        }
    }
}

/// C5: how much is decoded at a time, the order of a list in the scenario, and the way a value was given do not matter; the
/// seed does.
#[test]
fn c5_the_digest_depends_on_the_question_alone() {
    let folder = room(&eventful(7200));
    let digest = |scenario: &str, more: &[&str]| {
        std::fs::write(folder.path().join("s.toml"), scenario).unwrap();
        let args = ["replay", "s.toml", "--force", "--no-plots", "--json", "--quiet"];
        let args: Vec<&str> = with_sets(&args, &EVENTFUL)
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let told = lab::told(folder.path(), &args);
        assert_eq!(told.code, Some(0), "{}", told.err);
        let json = told.json();
        assert!(json["round_trips"].as_u64().unwrap() > 20, "{json}");
        json["digest"].as_str().unwrap().to_owned()
    };
    let want = digest(SCENARIO, &[]);
    assert_eq!(digest(SCENARIO, &["--memory", "1M"]), want);
    assert_eq!(digest(SCENARIO, &["--memory", "1G"]), want);
    let list = "\"no-edge-usdkrw\", \"no-edge-binance-btcusdt\", \"no-edge-upbit-krw-btc\"";
    let turned = SCENARIO.replace(
        "\"no-edge-upbit-krw-btc\", \"no-edge-binance-btcusdt\", \"no-edge-usdkrw\"",
        list,
    );
    assert!(turned.contains(list));
    assert_eq!(digest(&turned, &[]), want);
    let other = SCENARIO.replace("entry_bps = 5.0", "entry_bps = 7.5");
    let set = digest(SCENARIO, &["--set", "strategy.entry_bps=7.5"]);
    assert_eq!(digest(&other, &[]), set);
    assert_eq!(digest(&other, &["--set", "strategy.entry_bps=5"]), want);
    assert_ne!(set, want);
    assert_ne!(digest(SCENARIO, &["--set", "seed=2"]), want);
}

/// C5: this digest was written down once. Debug and release, this machine and any other must find it again.
///
/// When a change of the model is meant to change results, put the new one here, and say so in the changelog.
#[test]
fn c5_the_digest_of_a_small_market_is_known() {
    let spec = eventful(1800);
    let folder = room(&spec);
    let setup = lab::setup(folder.path(), SCENARIO, &EVENTFUL);
    let mut rows = Rows::default();
    let engine = lab::replay_memory(&setup, 1, &lab::in_memory(&spec, 1), &mut rows);
    assert_eq!((rows.round_trips.len(), rows.fills.len()), KNOWN.0);
    assert_eq!(engine.digest(), KNOWN.1);
    // From files, the same.
    let run = lab::run_scenario(folder.path(), SCENARIO, &EVENTFUL).unwrap();
    assert_eq!(run.meta.digest, KNOWN.1);
}

const KNOWN: ((usize, usize), &str) = (
    (9, 115),
    "97642326e98da16845849c9981372770a083de27ab6338f8bbb1e3358dc82075",
);

/// The scenarios over which nothing may look ahead: name, overrides, and what must have happened for the case to say much.
type Case = (&'static str, fn() -> Spec, &'static [&'static str], fn(&Rows) -> bool);

const CASES: [Case; 4] = [
    (
        "limit orders, late, into thin books with outages",
        || eventful(1200),
        &EVENTFUL,
        |rows| {
            rows.orders
                .iter()
                .any(|record| record.status == OrderStatus::Expired && record.filled > Qty::ZERO)
        },
    ),
    (
        "market orders, unwinding, EWMA",
        || eventful(1200),
        &[
            "strategy.fair_premium={ model = \"ewma\", half_life_s = 300 }",
            "execution.leg_policy=unwind",
            "strategy.take_profit_bps=10",
            "strategy.stop_bps=60",
            "strategy.size={ quantity = \"0.02\" }",
            "venues.upbit.order_latency={ model = \"recorded\", multiple = 30 }",
            "venues.binance.report_latency={ model = \"lognormal\", median_ms = 900, sigma = 0.7 }",
        ],
        |rows| rows.round_trips.len() > 5,
    ),
    (
        "an entry that rests at A, queue by shares",
        || eventful(1200),
        &[
            "execution.entry=maker_a",
            "execution.queue_model=prob",
            "execution.leg_timeout_ms=5000",
            "strategy.max_hold_s=120",
            "venues.binance.order_latency={ model = \"lognormal\", median_ms = 300, sigma = 1.0 }",
        ],
        |rows| rows.round_trips.len() > 2,
    ),
    (
        "a perpetual with funding, filled at the top",
        || {
            let mut spec = eventful(1200);
            spec.b.kind = VenueKind::Perpetual;
            spec.b.funding = Some(FundingSpec {
                every_s: 60,
                mean_bps: 1.0,
                sd_bps: 2.0,
            });
            spec
        },
        &[
            "venues.binance.kind=perpetual",
            "venues.binance.balances={ USDT = \"35000\" }",
            "execution.fill_model=top",
            "strategy.max_hold_s=240",
        ],
        |rows| rows.round_trips.len() > 5,
    ),
];

/// What the venues had done by `t`, and nothing of what came later.
fn cut(market: &Streamed, t: TimestampNs) -> Streamed {
    let kept = |chunks: &[Arc<Chunk>]| {
        let mut kept = Chunk::default();
        for chunk in chunks {
            for (index, header) in chunk.headers().iter().enumerate() {
                if header.ts_event <= t {
                    kept.push(header.ts_event, header.ts_recv, chunk.event(index)).unwrap();
                }
            }
        }
        vec![Arc::new(kept)]
    };
    market
        .iter()
        .map(|(name, chunks)| (name.clone(), kept(chunks)))
        .collect()
}

fn last_receipt(market: &Streamed) -> TimestampNs {
    let chunks = market.iter().flat_map(|(_, chunks)| chunks);
    let last = chunks.filter_map(|chunk| chunk.headers().last().map(|header| header.ts_recv));
    last.max().unwrap_or(TimestampNs::MIN)
}

fn replayed(setup: &Setup, market: &Streamed) -> Rows {
    let mut rows = Rows::default();
    lab::replay_memory(setup, 1, market, &mut rows);
    rows
}

/// C8, F79: cutting the data after `t` changes no decision, order, fill, round trip, word of risk or sample before `t`.
#[test]
fn c8_cutting_the_data_changes_nothing_before_the_cut() {
    for (name, spec, sets, says_much) in CASES {
        let spec = spec();
        let folder = room(&spec);
        let setup = lab::setup(folder.path(), SCENARIO, sets);
        let market = lab::in_memory(&spec, 1);
        let whole = replayed(&setup, &market);
        assert!(says_much(&whole), "{name}: {} round trips", whole.round_trips.len());
        let start = spec.from_ns().unwrap().unwrap();
        let mut random = Rng::stream(7, name);
        // Anywhere, and where it hurts: just before an order arrives, or its report.
        let anywhere = (0..12)
            .map(|_| start + random.below(1_200_000_000_000) as i64)
            .collect::<Vec<_>>();
        let fills = whole.fills.iter().step_by(whole.fills.len() / 8 + 1);
        let arrivals = fills.flat_map(|record| [record.fill.ts_venue.0 - 1, record.ts_report.0 - 1]);
        for t in anywhere.into_iter().chain(arrivals).map(TimestampNs) {
            let shorter = cut(&market, t);
            let part = replayed(&setup, &shorter);
            // A replay ends with its data: reports and timers later than the last message are not waited for.
            let t = t.min(last_receipt(&shorter));
            let sent = |rows: &Rows| {
                let mut sent: Vec<_> = rows
                    .orders
                    .iter()
                    .map(|record| record.order)
                    .filter(|o| o.ts_sent <= t)
                    .collect();
                sent.sort_by_key(|order| order.id);
                sent
            };
            let fills = |rows: &Rows| {
                rows.fills
                    .iter()
                    .filter(|r| r.ts_report <= t)
                    .copied()
                    .collect::<Vec<_>>()
            };
            let trips = |rows: &Rows| {
                rows.round_trips
                    .iter()
                    .filter(|r| r.ts_closed <= t)
                    .copied()
                    .collect::<Vec<_>>()
            };
            let risk = |rows: &Rows| rows.risk.iter().filter(|r| r.ts <= t).copied().collect::<Vec<_>>();
            // The last sample is taken when the data end, wherever that is.
            let equity = |rows: &Rows| {
                let early = rows.equity.iter().take(rows.equity.len() - 1);
                early.filter(|r| r.ts < t).copied().collect::<Vec<_>>()
            };
            assert_eq!(sent(&part), sent(&whole), "{name}: orders, cut at {t:?}");
            assert_eq!(fills(&part), fills(&whole), "{name}: fills, cut at {t:?}");
            assert_eq!(trips(&part), trips(&whole), "{name}: round trips, cut at {t:?}");
            assert_eq!(risk(&part), risk(&whole), "{name}: risk, cut at {t:?}");
            let (part, whole) = (equity(&part), equity(&whole));
            assert_eq!(part, whole[..part.len()], "{name}: equity, cut at {t:?}");
            assert!(whole.len() - part.len() <= 1, "{name}: equity, cut at {t:?}");
        }
    }
}

/// C4: the ledger rebuilt from the fills that lie on disk is the one in memory, and every balance is its opening plus what
/// was posted.
#[test]
fn c4_the_ledger_rebuilt_from_the_fills_on_disk_is_the_one_in_memory() {
    let spec = eventful(1800);
    let folder = room(&spec);
    let told = lab::told(
        folder.path(),
        &with_sets(&["replay", "scenario.toml", "--no-plots", "--quiet"], &EVENTFUL),
    );
    assert_eq!(told.code, Some(0), "{}", told.err);
    let on_disk = run_dir::open(&folder.path().join("runs/proof")).unwrap();

    let setup = lab::setup(folder.path(), SCENARIO, &EVENTFUL);
    let mut rows = Rows::default();
    let engine = lab::replay_memory(&setup, 1, &lab::in_memory(&spec, 1), &mut rows);
    assert!(on_disk.rows.fills.len() > 50 && on_disk.rows.fills == rows.fills);

    let config = &setup.engine;
    let (venues, currencies) = (config.venues.len(), config.classes.len());
    let mut ledger = Ledger::new(venues, currencies, &config.opening).unwrap();
    let mut moved: BTreeMap<(u8, u16), i128> = BTreeMap::new();
    let mut note = |ledger: &Ledger| {
        let mut sums: BTreeMap<u16, i128> = BTreeMap::new();
        for posting in ledger.last_transaction() {
            let amount = i128::from(posting.amount.raw());
            *sums.entry(posting.account.currency.0).or_default() += amount;
            if posting.account.kind == crossbook_engine::ledger::AccountKind::Wallet {
                *moved
                    .entry((posting.account.venue.0, posting.account.currency.0))
                    .or_default() += amount;
            }
        }
        assert!(
            sums.values().all(|sum| *sum == 0),
            "a transaction sums to zero in each currency: {sums:?}"
        );
    };
    note(&ledger);
    for record in &on_disk.rows.fills {
        let route = &config.routes[record.route.index()];
        let instrument = &config.instruments[if record.leg == Leg::A { route.a } else { route.b }.index()];
        ledger
            .post_fill(instrument.venue, &record.fill, instrument.base, instrument.quote)
            .unwrap();
        note(&ledger);
    }
    assert_eq!(ledger.hash(), engine.ledger().hash());
    assert_eq!(&ledger, engine.ledger());
    for ((venue, currency), sum) in moved {
        let balance = engine.ledger().balance(
            crossbook_engine::instrument::VenueId(venue),
            crossbook_engine::instrument::CurrencyId(currency),
        );
        assert_eq!(i128::from(balance.raw()), sum, "venue {venue}, currency {currency}");
    }
}
