//! `crossbook dataset synth`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::failed;
use crate::cli::{Common, Fault, Outcome, interrupt, progress, say};
use crate::config::overrides;
use crate::dataset::DatasetError;
use crate::dataset::manifest::Manifest;
use crate::dataset::message::Message;
use crate::dataset::synth::{CandleError, CandleFiles, Spec, SynthError, generate, lay_over_candles, streams};
use crate::dataset::writer::Writer;

const NS_PER_S: i64 = 1_000_000_000;

/// Arguments of `crossbook dataset synth`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A specification says what the market is like: a price model with a premium that comes back (`ou`), wanders (`random_walk`)
or stands (`constant`), or real minute candles to lay books over; docs/synthetic.md lists every key. The same
specification and seed give the same bytes.

Examples:
  crossbook dataset synth datasets/specs/demo.toml --out datasets --force
  crossbook dataset synth datasets/specs/no-edge.toml --out ~/no-edge --seed 17 --set duration_s=86400
  crossbook dataset synth datasets/specs/kimchi.toml --from-candles ~/recordings --out ~/datasets

Exit code: 0 done, 2 the specification or a candle is wrong, or something is in the way,
3 interrupted, 4 the system refused.")]
pub struct Args {
    /// The specification.
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Folder in which the datasets are made, each under the name that the specification gives it.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed to use in place of the specification's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Change one value of the specification (may be repeated): `premium.sd_bps=30`, `a.outages.per_day=24`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder in which the specification's candle files are looked for [default: the data root, else that of the
    /// specification].
    #[arg(long, value_name = "DIR")]
    from_candles: Option<PathBuf>,
    /// Replace datasets that are there.
    #[arg(long)]
    force: bool,
}

/// Makes the datasets of one specification.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let text = fs::read_to_string(&args.spec).map_err(|source| unreadable(&args.spec, source))?;
    let in_spec = || args.spec.display().to_string();
    let spec = parse(&text, &args.set).with_context(in_spec)?;
    let spec = args.seed.map_or(spec.clone(), |seed| spec.with_seed(seed));
    spec.check().with_context(in_spec)?;
    if args.from_candles.is_some() && spec.candles.is_none() {
        anyhow::bail!(
            "{}: `candles`: missing, but --from-candles needs the names of the files there",
            in_spec()
        );
    }

    fs::create_dir_all(&args.out).map_err(|source| outside(format!("create {}", args.out.display()), source))?;
    let mut writers: Vec<Writer> = Vec::new();
    for draft in streams(&spec)? {
        let dir = args.out.join(&draft.name);
        writers.push(Writer::create(&dir, draft, args.force).map_err(failed)?);
    }
    let bar = progress::bar(common, spec.duration_s.unwrap_or(0), "seconds");
    let start_ns = spec.from_ns()?.unwrap_or(0);
    interrupt::watch();
    let mut sink = |stream: usize, message: &Message| -> Result<(), Stopped> {
        if stream == 0 {
            if interrupt::asked() {
                return Err(Stopped::Asked);
            }
            bar.set_position(
                message
                    .ts_event
                    .0
                    .saturating_sub(start_ns)
                    .div_euclid(NS_PER_S)
                    .unsigned_abs(),
            );
        }
        writers[stream].push(message).map_err(Stopped::Writer)
    };
    let made = match &spec.candles {
        None => generate(&spec, &mut sink),
        Some(candles) => {
            let folder = args
                .from_candles
                .as_deref()
                .or(common.data_root.as_deref())
                .or(args.spec.parent())
                .unwrap_or(Path::new("."));
            let files =
                |names: &[String]| CandleFiles::new(names.iter().map(|name| folder.join(name)).collect::<Vec<_>>());
            lay_over_candles(&spec, &mut files(&candles.a), &mut files(&candles.b), &mut sink)
        }
    };
    made.map_err(|error| refused(error, &args.spec))?;
    bar.finish_and_clear();

    let mut manifests: Vec<(PathBuf, Manifest)> = Vec::new();
    for writer in writers {
        let manifest = writer.finish().map_err(failed)?;
        manifests.push((args.out.join(&manifest.name), manifest));
    }
    report(common, &spec, &manifests);
    Ok(Outcome::Done)
}

fn parse(text: &str, sets: &[String]) -> anyhow::Result<Spec> {
    if sets.is_empty() {
        return Ok(Spec::parse(text)?);
    }
    let mut table: toml::Table = toml::from_str(text)?;
    for set in sets {
        overrides::apply(&mut table, set)?;
    }
    Ok(Spec::parse(&toml::to_string(&table)?)?)
}

fn report(common: &Common, spec: &Spec, manifests: &[(PathBuf, Manifest)]) {
    if !common.quiet {
        say!("{} with seed {}:", spec.name, spec.seed);
        for (dir, manifest) in manifests {
            say!(
                "  {}: {} messages, {} rows, {} bytes",
                dir.display(),
                manifest.counts.messages,
                manifest.counts.rows,
                manifest.data.bytes
            );
        }
    }
    if common.json {
        let datasets: Vec<_> = manifests
            .iter()
            .map(|(dir, manifest)| {
                serde_json::json!({ "dir": dir, "name": manifest.name, "messages": manifest.counts.messages,
                    "rows": manifest.counts.rows, "bytes": manifest.data.bytes, "blake3": manifest.data.blake3 })
            })
            .collect();
        say!(
            "{}",
            serde_json::json!({ "name": spec.name, "seed": spec.seed, "datasets": datasets })
        );
    }
}

/// Why the sink took no more messages.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// Ctrl-C.
    #[error("interrupted")]
    Asked,
    /// The dataset cannot be written.
    #[error(transparent)]
    Writer(DatasetError),
}

fn refused(error: SynthError<Stopped>, spec: &Path) -> anyhow::Error {
    match error {
        SynthError::Sink(Stopped::Asked) => Fault::Interrupted.into(),
        SynthError::Sink(Stopped::Writer(error)) => failed(error),
        SynthError::Candles(CandleError::Read { path, source }) => unreadable(&path, source),
        other => anyhow::Error::new(other).context(spec.display().to_string()),
    }
}

/// A file that is not there, or no text, is the asker's mistake; all else is a fault outside.
fn unreadable(path: &Path, source: std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, NotFound, UnexpectedEof};
    match source.kind() {
        InvalidData | InvalidInput | IsADirectory | NotFound | UnexpectedEof => {
            anyhow::Error::new(source).context(format!("read {}", path.display()))
        }
        _ => outside(format!("read {}", path.display()), source),
    }
}

fn outside(what: String, source: std::io::Error) -> anyhow::Error {
    Fault::Outside { what, source }.into()
}
