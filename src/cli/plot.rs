//! `crossbook plot RUN…`: pictures and an HTML report from run directories, or from the folder of a tuning session.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::{Common, Fault, Outcome, run_dir_error, say, sessions};
use crate::report::{self, Formats, Run, Summary};
use crate::sink::file::write_whole;
use crate::sink::run_dir;
use crate::tune::pictures;
use crate::tune::session::folder::QUESTION;

/// Arguments of `crossbook plot`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook plot runs/kimchi                       remake pictures and report in the run's own directory
  crossbook plot runs/kimchi --format png --out /tmp/pictures
  crossbook plot runs/kimchi runs/kimchi-2 --out compared
                                                   results over each other, statistics side by side
  crossbook plot sessions/kimchi                   the same for a tuning session: history, importance, leaderboard

Exit codes: 0 done, 2 not a run or session directory, a damaged one, or a file that would be overwritten, 4 a fault outside.")]
pub struct Args {
    /// Run directories, as `crossbook replay` writes them, or the folder of one tuning session. Every file of a run is
    /// checked against its checksum first.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to write.
    ///
    /// One run's pictures are remade in its own directory when this is not given. A comparison of several runs
    /// belongs to none of them, so it needs this.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to make.
    #[arg(long, value_enum, default_value_t = Format::All)]
    format: Format,
    /// Overwrite files in the directory given by `--out`.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Pictures as PNG.
    Png,
    /// Pictures as SVG.
    Svg,
    /// The report as one HTML page that opens offline.
    Html,
    /// All of these.
    All,
}

impl Format {
    fn formats(self) -> Formats {
        Formats {
            png: matches!(self, Format::Png | Format::All),
            svg: matches!(self, Format::Svg | Format::All),
            html: matches!(self, Format::Html | Format::All),
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    out_dir: String,
    files: Vec<String>,
    runs: Vec<Summary<'a>>,
}

/// Reads the runs, draws, writes.
///
/// # Errors
/// What is wrong with a run directory or an argument; [`Fault::Outside`] when the system refuses to read or write.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let sessions = args.runs.iter().filter(|path| path.join(QUESTION).is_file()).count();
    match (args.runs.as_slice(), sessions) {
        (_, 0) => {}
        ([path], 1) => return session(common, &args, path),
        _ => anyhow::bail!("a tuning session is drawn by itself: name its folder alone"),
    }
    let runs: Vec<Run> = args
        .runs
        .iter()
        .map(|path| run_dir::open(path).map_err(run_dir_error))
        .collect::<anyhow::Result<_>>()?;
    let formats = args.format.formats();
    let (out, files) = match (runs.as_slice(), &args.out) {
        ([run], out) => {
            let out = out.clone().unwrap_or_else(|| args.runs[0].clone());
            (out, report::files(run, formats).context("cannot draw")?)
        }
        (runs, Some(out)) => (
            out.clone(),
            report::comparison_files(runs, formats).context("cannot draw")?,
        ),
        (_, None) => anyhow::bail!("several runs are compared in a directory of their own: say `--out DIR`"),
    };
    let written = write(&args, &out, &files)?;
    if !common.quiet && !common.json {
        for path in &written {
            say!("{}", path.display());
        }
    }
    if common.json {
        let printed = Printed {
            out_dir: out.display().to_string(),
            files: written.iter().map(|path| path.display().to_string()).collect(),
            runs: runs
                .iter()
                .zip(&args.runs)
                .map(|(run, path)| Summary::new(run, path))
                .collect(),
        };
        say!("{}", serde_json::to_string(&printed)?);
    }
    Ok(Outcome::Done)
}

/// Writes files into a directory.
fn write(args: &Args, out: &Path, files: &[(String, Vec<u8>)]) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(out).map_err(outside(out))?;
    // Pictures in the run's own directory are there to be remade; elsewhere nothing is overwritten unasked.
    let replace = args.out.is_none() || args.force;
    let mut written = Vec::new();
    for (name, _) in files {
        let path = out.join(name);
        anyhow::ensure!(
            replace || !path.exists(),
            "{}: is there already; `--force` overwrites it",
            path.display()
        );
        written.push(path);
    }
    for (path, (_, bytes)) in written.iter().zip(files) {
        write_whole(path, bytes, replace).map_err(outside(path))?;
    }
    Ok(written)
}

/// Pictures and report of a tuning session.
fn session(common: &Common, args: &Args, path: &Path) -> anyhow::Result<Outcome> {
    let results = sessions::load_path(path)?.with_importance();
    let files = pictures::files(&results, args.format.formats()).context("cannot draw")?;
    let out = args.out.clone().unwrap_or_else(|| path.to_owned());
    let written = write(args, &out, &files)?;
    if !common.quiet && !common.json {
        for path in &written {
            say!("{}", path.display());
        }
    }
    if common.json {
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        say!(
            "{}",
            serde_json::json!({ "out_dir": out.display().to_string(), "session_id": results.id, "files": files })
        );
    }
    Ok(Outcome::Done)
}

fn outside(path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let what = path.display().to_string();
    move |source| Fault::Outside { what, source }
}
