//! `crossbook sessions list | show ID | export ID`: what tuning sessions there are, and what came of them.

mod board;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::{Common, Fault, Outcome, say};
use crate::report::plots::number;
use crate::sink::file::write_whole;
use crate::tune::export::{self, Format};
use crate::tune::log::LogError;
use crate::tune::pictures::short;
use crate::tune::results::read::{self, ReadError};
use crate::tune::results::{Results, usable};
use crate::tune::session::folder::{Folder, FolderError, QUESTION, SUMMARY};

/// Arguments of `crossbook sessions`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook sessions list
  crossbook sessions show kimchi --top 20
  crossbook sessions show kimchi --trial 137
  crossbook sessions export kimchi --format parquet

Exit codes: 0 done, 2 no such session, a damaged one, or a file that would be overwritten, 4 a fault outside.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists sessions: sampler, status, trials, best.
    List(List),
    /// Shows a session's leaderboard and what it is worth, or one trial of it.
    Show(Show),
    /// Writes a session's trials as CSV, Parquet or Optuna's journal.
    Export(Export),
}

/// Where sessions lie.
#[derive(Debug, clap::Args)]
struct Place {
    /// Folder of the sessions.
    #[arg(long, default_value = "sessions", value_name = "DIR")]
    sessions: PathBuf,
}

/// Arguments of `crossbook sessions list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook sessions list
  crossbook sessions list --sessions /data/sessions --json

A session is `done` when all its trials are evaluated and it was judged, else `open`: running, or to be gone on with by
`crossbook tune --resume ID`.

Exit codes: 0 done (also when there is none), 4 a fault outside.")]
struct List {
    #[command(flatten)]
    place: Place,
}

/// Arguments of `crossbook sessions show`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook sessions show kimchi                 the verdict, the best of each fold, the ten best of the last fold
  crossbook sessions show kimchi --top 50 --fold 0
  crossbook sessions show kimchi --trial 137     its parameters, every case, and the command that replays it

Trials are ranked by the objective in sample; what they did out of sample stands beside it. The best in sample is chosen by
luck, too: the verdict says how much.

Exit codes: 0 done, 2 no such session, trial or fold (says which there are), or a damaged one, 4 a fault outside.")]
struct Show {
    /// Id of the session: the name of its folder.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
    /// How many trials to list.
    #[arg(long, default_value_t = 10, value_name = "N", conflicts_with = "trial")]
    top: usize,
    /// Only trials of this fold, from 0; the last fold with a best trial when absent.
    #[arg(long, value_name = "N", conflicts_with = "trial")]
    fold: Option<u32>,
    /// Shows this trial with all its cases.
    #[arg(long, value_name = "N")]
    trial: Option<u64>,
}

/// Arguments of `crossbook sessions export`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook sessions export kimchi --format csv              writes kimchi.csv
  crossbook sessions export kimchi --format parquet --out trials.parquet --force
  crossbook sessions export kimchi --format optuna           then: optuna-dashboard kimchi.optuna.log

CSV and Parquet have a row a trial and a column a parameter; a parameter that was not asked is empty. Optuna's journal is
read by Optuna 4 and 5 (`JournalStorage(JournalFileBackend(FILE))`), each fold as a study of its own.

Exit codes: 0 done, 2 no such session, or a file that would be overwritten, 4 a fault outside.")]
struct Export {
    /// Id of the session: the name of its folder.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
    /// What to write.
    #[arg(long, value_enum)]
    format: Format,
    /// The file; `ID.csv`, `ID.parquet` or `ID.optuna.log` here when absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file.
    #[arg(long)]
    force: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// What is wrong with a session or an argument; [`Fault::Outside`] when the system refuses to read or write.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    match args.command {
        Command::List(args) => list(common, &args),
        Command::Show(args) => show(common, &args),
        Command::Export(args) => export(common, &args),
    }
}

/// What the system refused is a [`Fault`], the rest is bad input.
fn explain(error: ReadError) -> anyhow::Error {
    match error {
        ReadError::Folder(FolderError::Io { path, source })
        | ReadError::Log(LogError::Io { path, source })
        | ReadError::Folder(FolderError::Log(LogError::Io { path, source })) => outside(&path, source),
        other => other.into(),
    }
}

fn outside(path: &Path, source: io::Error) -> anyhow::Error {
    Fault::Outside {
        what: path.display().to_string(),
        source,
    }
    .into()
}

/// Ids of the sessions in a folder, in their order; none when it is not there.
fn ids(sessions: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(sessions) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(outside(sessions, error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| outside(sessions, error))?;
        if entry.path().join(QUESTION).is_file() {
            ids.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ids.sort();
    Ok(ids)
}

/// The folder of a session; the error names those there are.
fn folder(place: &Place, id: &str) -> anyhow::Result<Folder> {
    Folder::existing(&place.sessions, id).or_else(|error| match error {
        FolderError::Io { path, source } => Err(outside(&path, source)),
        FolderError::Missing { .. } | FolderError::Name { .. } => {
            let there = ids(&place.sessions)?;
            let there = match there.is_empty() {
                true => "there are none".to_owned(),
                false => format!("there are {}", there.join(", ")),
            };
            Err(anyhow::anyhow!(
                "no session `{id}` in {}; {there}",
                place.sessions.display()
            ))
        }
        other => Err(other.into()),
    })
}

fn load(place: &Place, id: &str) -> anyhow::Result<Results> {
    read::read(&folder(place, id)?).map_err(explain)
}

/// The session whose folder is at this path.
///
/// # Errors
/// What is wrong with it; [`Fault::Outside`] when the system refuses to read.
pub(super) fn load_path(path: &Path) -> anyhow::Result<Results> {
    let whole = std::fs::canonicalize(path).map_err(|error| outside(path, error))?;
    let (Some(sessions), Some(id)) = (whole.parent(), whole.file_name()) else {
        anyhow::bail!("{}: is not the folder of a session", path.display());
    };
    Folder::existing(sessions, &id.to_string_lossy())
        .map_err(ReadError::from)
        .and_then(|folder| read::read(&folder))
        .map_err(explain)
}

/// `done` or `open`.
fn status(folder: &Folder) -> &'static str {
    match folder.path().join(SUMMARY).is_file() {
        true => "done",
        false => "open",
    }
}

/// When the session last changed, UTC to the second.
fn changed(folder: &Folder) -> String {
    let times = [folder.log(), folder.path().join(QUESTION)];
    let newest = times
        .iter()
        .filter_map(|path| std::fs::metadata(path).and_then(|data| data.modified()).ok())
        .max();
    newest
        .and_then(|time| jiff::Timestamp::try_from(time).ok())
        .map_or("-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn list(common: &Common, args: &List) -> anyhow::Result<Outcome> {
    let sessions = &args.place.sessions;
    let mut rows = vec![
        [
            "ID",
            "NAME",
            "SAMPLER",
            "STATUS",
            "TRIALS",
            "BEST",
            "VERDICT",
            "CHANGED, UTC",
        ]
        .map(str::to_owned),
    ];
    let mut printed = Vec::new();
    for id in ids(sessions)? {
        // One damaged session does not hide the others.
        let read = Folder::existing(sessions, &id)
            .map_err(ReadError::from)
            .and_then(|folder| read::read(&folder).map(|results| (folder, results)));
        let (folder, results) = match read {
            Ok(read) => read,
            Err(error) => {
                printed.push(json!({ "session_id": id, "status": "damaged", "error": error.to_string() }));
                rows.push([&id, "-", "-", "damaged", "-", "-", "-", "-"].map(str::to_owned));
                continue;
            }
        };
        let best = results.winner();
        let (status, changed) = (status(&folder), changed(&folder));
        let accepted = results.verdict.as_ref().and_then(|verdict| verdict.passed);
        printed.push(json!({
            "session_id": id,
            "name": results.name,
            "sampler": results.sampler,
            "status": status,
            "trials": results.records.len(),
            "of": results.asked,
            "best": best.map(|record| json!({ "trial": record.id, "fold": record.fold, "value": usable(record) })),
            "accepted": accepted,
            "changed": changed,
        }));
        rows.push([
            id,
            results.name.clone(),
            results.sampler.clone(),
            status.to_owned(),
            format!("{}/{}", results.records.len(), results.asked),
            best.and_then(usable).map_or("-".to_owned(), short),
            accepted
                .map_or("-", |accepted| if accepted { "accepted" } else { "not accepted" })
                .to_owned(),
            changed,
        ]);
    }
    if !common.quiet && !common.json {
        if rows.len() == 1 {
            say!("no sessions in {}", sessions.display());
        } else {
            let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
            for line in board::aligned(&rows, &[4, 5]) {
                say!("{line}");
            }
        }
    }
    if common.json {
        say!("{}", json!({ "sessions": printed }));
    }
    Ok(Outcome::Done)
}

fn show(common: &Common, args: &Show) -> anyhow::Result<Outcome> {
    let results = load(&args.place, &args.id)?;
    if let Some(id) = args.trial {
        let Some(record) = results.records.iter().find(|record| record.id == id) else {
            let there = match results.records.last() {
                Some(last) => format!("0 to {} are there", last.id),
                None => "none was evaluated yet".to_owned(),
            };
            anyhow::bail!("session `{}` has no trial {id}; {there}", args.id);
        };
        if !common.quiet && !common.json {
            for line in board::trial(&results, record) {
                say!("{line}");
            }
        }
        if common.json {
            say!("{}", board::trial_json(&results, record)?);
        }
        return Ok(Outcome::Done);
    }
    let folds = results.folds_seen();
    if let Some(fold) = args.fold.filter(|fold| !folds.contains(fold)) {
        let there: Vec<String> = folds.iter().map(u32::to_string).collect();
        let there = match there.is_empty() {
            true => "no trial was evaluated yet".to_owned(),
            false => format!("there are {}", there.join(", ")),
        };
        anyhow::bail!("session `{}` has no fold {fold}; {there}", args.id);
    }
    let fold = args.fold.or_else(|| results.fold_shown());
    if !common.quiet && !common.json {
        for line in board::session(&results, fold, args.top) {
            say!("{line}");
        }
    }
    if common.json {
        say!("{}", board::session_json(&results, fold, args.top)?);
    }
    Ok(Outcome::Done)
}

fn export(common: &Common, args: &Export) -> anyhow::Result<Outcome> {
    let results = load(&args.place, &args.id)?;
    let default = || PathBuf::from(format!("{}{}", results.id, args.format.suffix()));
    let path = args.out.clone().unwrap_or_else(default);
    let bytes = export::bytes(&results, args.format)?;
    write_whole(&path, &bytes, args.force).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{}: is there already; `--force` overwrites it", path.display())
        }
        io::ErrorKind::InvalidInput => anyhow::anyhow!("{}: is not the name of a file", path.display()),
        _ => outside(&path, error),
    })?;
    if !common.quiet && !common.json {
        say!(
            "{}  ({} trials, {} bytes)",
            path.display(),
            number(results.records.len() as f64, 0),
            number(bytes.len() as f64, 0)
        );
        if args.format == Format::Optuna {
            say!("to look at it: optuna-dashboard {}", path.display());
        }
    }
    if common.json {
        let said: Json = json!({
            "session_id": results.id,
            "file": path.display().to_string(),
            "trials": results.records.len(),
            "bytes": bytes.len(),
        });
        say!("{said}");
    }
    Ok(Outcome::Done)
}
