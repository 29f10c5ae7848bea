//! The command line: one file per subcommand, named after it.
//!
//! Exit codes: 0 done, 1 the answer is no (validate, verify), 2 wrong use or bad input, 3 interrupted, 4 a fault outside.

pub mod dataset;
pub mod interrupt;
pub mod plot;
pub mod progress;
pub mod record;
pub mod replay;
pub mod sessions;
pub mod simex;
pub mod span;
pub mod tune;
pub mod verify;
pub mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Replays, tunes and runs spread arbitrage across exchanges, with results one can believe.
#[derive(Debug, Parser)]
#[command(name = "crossbook", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every subcommand understands.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Print one JSON object as the last line of standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress bars and no summary; errors are still printed.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Where datasets named without a path are looked for.
    #[arg(long, global = true, env = "CROSSBOOK_DATA", value_name = "DIR")]
    pub data_root: Option<std::path::PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replays a scenario through the engine and the matching model, and writes a run directory.
    Replay(replay::Args),
    /// Searches for the best parameters of a scenario, in a session that can be stopped and gone on with.
    Tune(Box<tune::Args>),
    /// Joins a session from another process or host and evaluates its trials.
    Worker(worker::Args),
    /// Replays a run directory and compares it with what was recorded.
    Verify(verify::Args),
    /// Imports, inspects, validates, converts and synthesises datasets.
    Dataset(dataset::Args),
    /// Draws pictures and an HTML report of a run, or compares several.
    Plot(plot::Args),
    /// Lists, shows and exports tuning sessions.
    Sessions(sessions::Args),
    /// Records live market data of Upbit and Binance to a journal that survives kills, and replays.
    Record(record::Args),
    /// Serves a loopback exchange that speaks both venues' protocols, with faults.
    Simex(simex::Args),
}

/// What a command came to, when nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: the answer is no.
    No,
}

/// An error that is not the user's: a full disk, a server that is gone. Anything else that a command returns is bad
/// input or wrong use and ends with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The user pressed Ctrl-C or sent TERM.
    #[error("interrupted")]
    Interrupted,
    /// Writing or reading failed for a reason outside (disk full, permission, I/O error).
    #[error("{what}: {source}")]
    Outside {
        /// What was being done, with the path.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Sorts a run directory's error: what the system refused is a [`Fault`], the rest is bad input.
pub fn run_dir_error(error: crate::sink::RunDirError) -> anyhow::Error {
    match error {
        crate::sink::RunDirError::Io { path, source } => Fault::Outside {
            what: path.display().to_string(),
            source,
        }
        .into(),
        other => other.into(),
    }
}

/// Writes a line to standard output. A reader who has gone (`crossbook … | head`) is no fault: what was asked for is done
/// and on disk. A full disk ends the program with exit code 4, when what it made is whole or under a temporary name.
macro_rules! say {
    ($($arg:tt)*) => { $crate::cli::write_line(format_args!($($arg)*)) };
}
pub(crate) use say;

fn write_line(line: std::fmt::Arguments<'_>) {
    let written = writeln!(std::io::stdout(), "{line}");
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let _ = writeln!(std::io::stderr(), "error: standard output: {error}");
        std::process::exit(4);
    }
}

/// The error with those of its causes that it does not quote itself.
fn say_error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let _ = writeln!(std::io::stderr(), "error: {}", text.trim_end());
}

/// Parses the arguments, runs the command, prints errors, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Replay(args) => replay::run(&cli.common, args),
        Command::Tune(args) => tune::run(&cli.common, *args),
        Command::Worker(args) => worker::run(&cli.common, args),
        Command::Verify(args) => verify::run(&cli.common, args),
        Command::Dataset(args) => dataset::run(&cli.common, args),
        Command::Plot(args) => plot::run(&cli.common, args),
        Command::Sessions(args) => sessions::run(&cli.common, args),
        Command::Record(args) => record::run(&cli.common, args),
        Command::Simex(args) => simex::run(&cli.common, args),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(error) => {
            say_error(&error);
            match error.chain().find_map(|cause| cause.downcast_ref::<Fault>()) {
                Some(Fault::Interrupted) => ExitCode::from(3),
                Some(Fault::Outside { .. }) => ExitCode::from(4),
                None => ExitCode::from(2),
            }
        }
    }
}
