//! `crossbook dataset …`: one file per subcommand, named after it.

mod convert;
pub mod import;
mod inspect;
mod synth;
mod validate;

use super::{Common, Fault, Outcome};
use crate::dataset::DatasetError;

/// Arguments of `crossbook dataset`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes datasets of recordings: captures, vendors' files, plain CSV.
    Import(Box<import::Args>),
    /// Shows span, counts, silences, gaps, latency, clock and spread of datasets, and draws the spread.
    Inspect(inspect::Args),
    /// Cuts a dataset, mends it, or writes it as CSV.
    Convert(convert::Args),
    /// Makes seeded markets: a premium that comes back, wanders or stands, or books over real minute candles.
    Synth(synth::Args),
    /// Checks datasets from the first byte to the last; exit code 1 when one is broken.
    Validate(validate::Args),
}

/// Runs the chosen subcommand.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Import(args) => import::run(common, *args),
        Command::Inspect(args) => inspect::run(common, args),
        Command::Convert(args) => convert::run(common, args),
        Command::Synth(args) => synth::run(common, args),
        Command::Validate(args) => validate::run(common, args),
    }
}

/// The command's error for a dataset's: what the system refused is a fault outside, all else is bad input.
pub(crate) fn failed(error: DatasetError) -> anyhow::Error {
    if matches!(error, DatasetError::Stopped) {
        return Fault::Interrupted.into();
    }
    match error.outside() {
        Some(source) => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            let what = match &error {
                DatasetError::Io { action, path, .. } => format!("{action} {}", path.display()),
                other => other.to_string(),
            };
            Fault::Outside { what, source }.into()
        }
        None => error.into(),
    }
}

/// Moves a bar on and says whether to go on: not after Ctrl-C.
fn step(bar: &indicatif::ProgressBar, done: u64) -> bool {
    bar.set_position(done);
    !super::interrupt::asked()
}
