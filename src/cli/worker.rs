//! `crossbook worker --store redis://… --session ID`

use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::ProgressBar;

use super::{Common, Fault, Outcome, interrupt, progress, say, tune};
use crate::tune::session::folder::Question;
use crate::tune::spec;
use crate::tune::store::redis::{StoreError, fetch};
use crate::tune::worker::{self, End, Terms, WorkerError};

/// Arguments of `crossbook worker`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook worker --store redis://127.0.0.1:6379/0 --session kimchi
  CROSSBOOK_STORE=redis://redis:6379/0 crossbook worker --session kimchi --data-root /data --threads 4

A worker needs the same version of crossbook and the same datasets as the session; it checks both before it takes work.

Exit codes: 0 the session is done, 2 the session does not fit (says what), 3 interrupted (its tasks are given back), 4 the
store or the coordinator has gone for longer than --patience.")]
pub struct Args {
    /// The session to join.
    #[arg(long, value_name = "ID")]
    session: String,
    /// The session's store. [env: CROSSBOOK_STORE, CROSSBOOK_REDIS_URL]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The environment that the session was started with.
    #[arg(long, default_value = "local", value_name = "NAME")]
    env: String,
    /// Threads that evaluate. Default: one for each processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    threads: Option<u64>,
    /// Seconds after which its task goes to another worker should this one fall silent.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", value_parser = tune::parse_seconds)]
    lease: f64,
    /// Seconds to wait for the session to appear, and for a store or a coordinator that has gone.
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS", value_parser = tune::parse_seconds)]
    patience: f64,
}

struct Console {
    bar: ProgressBar,
    handed_in: u64,
}

impl worker::Observer for Console {
    fn handed_in(&mut self, trials: u64) {
        self.handed_in = trials;
        self.bar.set_position(trials);
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn interrupted(&mut self) -> bool {
        interrupt::asked()
    }
}

/// Joins a session and works until it is done.
///
/// # Errors
/// When the session does not fit, or [`Fault`].
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let Some(address) = tune::store(args.store.as_deref(), &args.env)? else {
        bail!("a worker needs the session's store: --store redis://host:6379/0 or CROSSBOOK_STORE");
    };
    interrupt::watch();
    let begun = Instant::now();
    let patience = Duration::from_secs_f64(args.patience);
    let mut told = String::new();
    let identity = loop {
        let error = match fetch(&address, &args.session) {
            Ok(identity) => break identity,
            Err(error) => error,
        };
        let may_come = match &error {
            StoreError::Missing { .. } => true,
            StoreError::Unreachable { source, .. } => !source.is_refusal(),
            _ => false,
        };
        if !may_come || begun.elapsed() > patience {
            return Err(tune::store_error(error));
        }
        if interrupt::asked() {
            return Err(Fault::Interrupted.into());
        }
        if told != error.to_string() {
            told = error.to_string();
            eprintln!("{told}; waiting up to {} s", args.patience);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let was = Question::parse(&identity.session)
        .map_err(|why| anyhow::anyhow!("{address}: session {} cannot be read: {why}", args.session))?;
    let place = format!("{address}/{}", args.session);
    let place = std::path::Path::new(&place);
    let mut now = was.clone();
    env!("CARGO_PKG_VERSION").clone_into(&mut now.header.version);
    // Before the specification is parsed: another version may spell it otherwise.
    was.same_as(&now, place).map_err(tune::folder_error)?;
    let spec = spec::parse(&was.spec, place, &[])?;
    let evaluator = tune::evaluator(common, &spec)?;
    let inputs = evaluator.input_hashes().iter();
    now.header.data = inputs.map(|input| (input.name.clone(), input.blake3.clone())).collect();
    was.same_as(&now, place).map_err(tune::folder_error)?;
    let terms = Terms {
        threads: args.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            |threads| threads as usize,
        ),
        lease: Duration::from_secs_f64(args.lease),
        patience,
    };
    let mut console = Console {
        bar: progress::bar(common, 0, "trials"),
        handed_in: 0,
    };
    let evaluate = |task: &_| evaluator.evaluate(task);
    let end = worker::run(&address, &args.session, &identity.hash, &terms, &evaluate, &mut console);
    console.bar.finish_and_clear();
    let trials = console.handed_in;
    let seconds = begun.elapsed().as_secs_f64();
    if !common.quiet {
        say!("{}: {trials} trials handed in, in {seconds:.1} s", args.session);
    }
    if common.json {
        let told = serde_json::json!({ "session_id": args.session, "trials": trials, "seconds": seconds });
        say!("{told}");
    }
    match end {
        Ok(End::Done) => Ok(Outcome::Done),
        Ok(End::Interrupted) => Err(Fault::Interrupted.into()),
        Err(error @ (WorkerError::Unreachable { .. } | WorkerError::Orphaned { .. })) => Err(Fault::Outside {
            what: "worker".to_owned(),
            source: std::io::Error::other(error),
        }
        .into()),
        Err(error) => Err(error.into()),
    }
}
