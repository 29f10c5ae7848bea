//! `crossbook tune TUNING.toml`

mod console;
mod finish;
mod hint;

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::study::{Direction, Study};

use super::{Common, Fault, Outcome, interrupt, say};
use crate::report::Formats;
use crate::tune::evaluate::{EvaluateError, Evaluator};
use crate::tune::log::{LogError, TrialLog};
use crate::tune::pictures::{self, WriteError};
use crate::tune::results::read;
use crate::tune::session::folder::{Folder, FolderError, Header, Question};
use crate::tune::session::{self, Ended, Plan, SessionError};
use crate::tune::spec::{self, Spec};
use crate::tune::store::link::Address;
use crate::tune::store::redis::{RedisStore, Setup, StoreError, fetch};
use crate::tune::store::{Event, FileStore, Status, Store};
use crate::tune::trial::Record;
use crate::tune::validation::Report;
use console::Console;

/// What proposes trials to outsiders (`--ask-tell`) unless told otherwise.
const ASK_TELL_SAMPLER: &str = "gp";

/// Arguments of `crossbook tune`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook tune config/tuning/demo.toml
  crossbook tune config/tuning/demo.toml --sampler random --trials 100 --seed 3 --id first-look
  crossbook tune config/tuning/demo.toml --set objective.k=2 --threads 4 --json
  crossbook tune --resume first-look
  crossbook tune config/tuning/demo.toml --store redis://127.0.0.1:6379/0 --threads 0     (workers do the work)
  crossbook tune --ask-tell --sampler gp      (JSON lines on standard input and output)

The same file, data, version and seed give the same table whatever --threads, --store and workers.

Exit codes: 0 done, 2 bad input (says file, line or key), 3 interrupted (the session can be gone on with), 4 a fault outside,
or a result that a second evaluation does not repeat.")]
pub struct Args {
    /// The tuning file.
    #[arg(value_name = "TUNING.toml", required_unless_present_any = ["resume", "ask_tell"])]
    file: Option<PathBuf>,
    /// Goes on with a session: nothing that was finished is evaluated again.
    ///
    /// The session's own file says what is searched; if a tuning file is given, too, it must be the same. When the folder is
    /// gone but the store has the session, the folder is rebuilt.
    #[arg(long, value_name = "ID")]
    resume: Option<String>,
    /// Where the session is kept besides its folder: `file` (nowhere), or a Redis that workers can join.
    ///
    /// The log in the session's folder is always written first and is the truth; a Redis that is away or comes back empty
    /// stops nothing. [env: CROSSBOOK_STORE, CROSSBOOK_REDIS_URL]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Part of the names of all keys in the store, to keep apart what should not meet.
    #[arg(long, default_value = "local", value_name = "NAME")]
    env: String,
    /// What proposes the trials, with its default options, instead of the file's.
    #[arg(long, value_name = "NAME")]
    sampler: Option<String>,
    /// Trials of each fold, instead of the file's.
    #[arg(long, value_name = "N")]
    trials: Option<u64>,
    /// Trials asked for at a time, instead of the file's. A part of the question: another batch, another table.
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Seed of the proposals, instead of the file's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Changes one value of the tuning file (`--set objective.k=2`). May be repeated.
    #[arg(long, value_name = "PATH.TO.KEY=VALUE")]
    set: Vec<String>,
    /// Threads of this process that evaluate; 0 leaves that to workers. Default: one for each processor.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Folder in which sessions are.
    #[arg(long, default_value = "sessions", value_name = "DIR")]
    sessions: PathBuf,
    /// Name of the session. Default: the file's name, numbered when that is taken.
    #[arg(long, value_name = "ID", conflicts_with = "resume")]
    id: Option<String>,
    /// Tell each trial to the sampler as it finishes instead of in batches.
    ///
    /// No thread waits for the last trial of a batch, but the table then depends on timing. The log keeps the order, so that
    /// the session can be gone on with.
    #[arg(long = "async")]
    asynchronous: bool,
    /// A trial on which so many workers were lost is given up.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// Seconds after which a task of a silent worker goes to another.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", value_parser = parse_seconds)]
    lease: f64,
    /// Trials besides the best that are evaluated again by full replay at the end.
    #[arg(long, default_value_t = 3, value_name = "N")]
    recheck: usize,
    /// No pictures and no HTML report.
    #[arg(long)]
    no_plots: bool,
    /// Serves the ask/tell protocol on standard input and output instead of running a session.
    #[arg(long, conflicts_with_all = ["file", "resume", "store", "id", "set", "trials", "batch", "seed"])]
    ask_tell: bool,
}

/// Seconds as a number above 0.
pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds from 0.05 to 86400 are allowed".to_owned()),
    }
}

/// The store that the arguments or the environment name; `None` for the file.
///
/// # Errors
/// When it is not understood.
pub(super) fn store(wanted: Option<&str>, env: &str) -> anyhow::Result<Option<Address>> {
    let named = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let url = match wanted {
        Some(url) => Some(url.to_owned()),
        None => named("CROSSBOOK_STORE").or_else(|| named("CROSSBOOK_REDIS_URL")),
    };
    match url.as_deref() {
        None | Some("file") => Ok(None),
        Some(url) => Address::parse(url, env)
            .map(Some)
            .map_err(|why| anyhow::anyhow!("--store: {why}")),
    }
}

/// Runs or resumes a session.
///
/// # Errors
/// Bad input, with file, line or key; [`Fault`] when interrupted or when the system refuses.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    if args.ask_tell {
        return ask_tell(&args);
    }
    let address = store(args.store.as_deref(), &args.env)?;
    let threads = match args.threads {
        Some(0) if address.is_none() => {
            bail!("--threads 0 leaves the trials to workers, which need a --store redis://… to find them")
        }
        Some(threads) => threads,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    interrupt::watch();
    let resumed = match &args.resume {
        Some(id) => Some(found(&args.sessions, id, address.as_ref())?),
        None => None,
    };
    let spec = match (&args.file, &resumed) {
        (Some(file), _) => load(file, &args)?,
        (None, Some((folder, question))) => reread(folder, question, &args)?,
        (None, None) => bail!("a tuning file or --resume is needed"),
    };
    let evaluator = evaluator(common, &spec)?;
    let header = Header {
        id: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        asynchronous: args.asynchronous || resumed.as_ref().is_some_and(|(_, was)| was.header.asynchronous),
        data: evaluator
            .input_hashes()
            .iter()
            .map(|input| (input.name.clone(), input.blake3.clone()))
            .collect(),
    };
    let mut question = Question {
        spec: spec.to_text().context("the tuning file cannot be written out")?,
        header,
    };
    let fresh = resumed.is_none();
    let folder = match resumed {
        Some((folder, was)) => {
            was.same_as(&question, folder.path()).map_err(folder_error)?;
            question = was;
            folder
        }
        None => {
            rehearse(&spec).with_context(|| args.file.as_deref().unwrap_or(Path::new("")).display().to_string())?;
            let wanted = args.id.as_deref().unwrap_or(&spec.name);
            let folder = Folder::create(&args.sessions, wanted, args.id.is_some()).map_err(folder_error)?;
            folder.id().clone_into(&mut question.header.id);
            folder.write_question(&question).map_err(folder_error)?;
            folder
        }
    };
    let hint = hint::go_on(common, &args, folder.id(), address.as_ref());
    let mut console = Console::new(common, folder.clone());
    for warning in evaluator.warnings() {
        console.say(&format!("note: {warning}"));
    }
    let job = Job {
        args: &args,
        spec: &spec,
        evaluator: &evaluator,
        question: &question,
        folder: &folder,
        threads,
    };
    let done = match job.begin(address, fresh, &mut console) {
        Ok((records, store, events)) => job.work(records, store, events, &mut console),
        Err(error) => {
            if fresh {
                folder.discard();
            }
            return Err(error);
        }
    };
    console.end();
    match done {
        Ok(summary) => {
            if !common.quiet {
                finish::print(&summary);
                say!("written to {}", folder.path().display());
                if !args.no_plots {
                    say!("report: {}", folder.path().join("report.html").display());
                }
            }
            if common.json {
                say!("{}", serde_json::to_string(&summary)?);
            }
            Ok(Outcome::Done)
        }
        Err(error) => {
            // Whatever stopped it: what was finished is there, and this goes on with it.
            eprintln!("the session is in {}; {hint}", folder.path().display());
            Err(error)
        }
    }
}

fn ask_tell(args: &Args) -> anyhow::Result<Outcome> {
    let config = SamplerConfig::by_name(args.sampler.as_deref().unwrap_or(ASK_TELL_SAMPLER))?;
    let served = crossbook_tuner::protocol::serve(config, BufReader::new(io::stdin().lock()), io::stdout().lock());
    match served {
        // Whoever asked has gone: that is how such a conversation may end.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
        served => {
            let what = "ask/tell".to_owned();
            served.map_err(|source| Fault::Outside { what, source })?;
            Ok(Outcome::Done)
        }
    }
}

/// The folder and the question of a session to go on with, from the store when the folder is gone.
fn found(sessions: &Path, id: &str, address: Option<&Address>) -> anyhow::Result<(Folder, Question)> {
    let folder = match (Folder::existing(sessions, id), address) {
        (Err(FolderError::Missing { .. }), Some(address)) => {
            let identity = fetch(address, id).map_err(store_error)?;
            let question = Question::parse(&identity.session)
                .map_err(|why| anyhow::anyhow!("{address}: session {id} cannot be read: {why}"))?;
            let folder = Folder::create(sessions, id, true).map_err(folder_error)?;
            folder.write_question(&question).map_err(folder_error)?;
            folder.note(&format!("rebuilt from {address}"));
            eprintln!("{}: rebuilt from {address}", folder.path().display());
            folder
        }
        (folder, _) => folder.map_err(folder_error)?,
    };
    let question = folder.question().map_err(folder_error)?;
    if question.header.id != id {
        let (path, other) = (folder.path().display(), &question.header.id);
        bail!("{path}: this is session {other}, whose folder was given another name; rename it back");
    }
    Ok((folder, question))
}

fn load(file: &Path, args: &Args) -> anyhow::Result<Spec> {
    let mut sets = args.set.clone();
    let numbers = [
        ("trials", args.trials),
        ("batch", args.batch.map(|batch| batch as u64)),
        ("seed", args.seed),
    ];
    sets.extend(
        numbers
            .iter()
            .filter_map(|(key, value)| value.map(|value| format!("sampler.{key}={value}"))),
    );
    let mut spec = spec::load(file, &sets)?;
    if let Some(name) = &args.sampler {
        spec.sampler.config = SamplerConfig::by_name(name).context("--sampler")?;
    }
    Ok(spec)
}

/// The specification of a session that is gone on with; what would change it is refused.
fn reread(folder: &Folder, question: &Question, args: &Args) -> anyhow::Result<Spec> {
    let changed = !args.set.is_empty() || args.sampler.is_some() || args.trials.is_some();
    if changed || args.batch.is_some() || args.seed.is_some() {
        bail!(
            "--resume goes on with the session as it began: --set, --sampler, --trials, --batch and --seed are not allowed"
        );
    }
    Ok(spec::parse(
        &question.spec,
        &folder.path().join(session::folder::QUESTION),
        &[],
    )?)
}

/// Asks for a trial that nobody evaluates: a space without a point, or a grid without end, is known before there is a session.
fn rehearse(spec: &Spec) -> Result<(), SessionError> {
    let (config, space) = (spec.sampler.config.clone(), spec.space.clone());
    let trials = Some(spec.sampler.trials);
    Study::new(space, config, Direction::Maximize, spec.sampler.seed, trials)?.ask(1)?;
    Ok(())
}

/// Opens the data of a session.
///
/// # Errors
/// Bad input, or [`Fault`].
pub(super) fn evaluator(common: &Common, spec: &Spec) -> anyhow::Result<Evaluator> {
    let bar = super::progress::bar(common, 0, "reading");
    let evaluator = Evaluator::new(spec, common.data_root.as_deref(), &mut |loading| {
        bar.set_length(loading.total);
        bar.set_position(loading.done);
    });
    bar.finish_and_clear();
    if interrupt::asked() {
        return Err(Fault::Interrupted.into());
    }
    evaluator.map_err(evaluate_error)
}

fn evaluate_error(error: EvaluateError) -> anyhow::Error {
    error.into()
}

/// What the system refused is a [`Fault`], the rest is bad input.
pub(super) fn folder_error(error: FolderError) -> anyhow::Error {
    match error {
        FolderError::Io { path, source } => outside(&path, source),
        FolderError::Log(error) => log_error(error),
        other => other.into(),
    }
}

fn log_error(error: LogError) -> anyhow::Error {
    match error {
        LogError::Io { path, source } => outside(&path, source),
        other => other.into(),
    }
}

pub(super) fn store_error(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Log(error) => log_error(error),
        StoreError::Unreachable { address, source } => Fault::Outside {
            what: address,
            source: io::Error::other(source),
        }
        .into(),
        other => other.into(),
    }
}

fn outside(path: &Path, source: io::Error) -> anyhow::Error {
    let what = path.display().to_string();
    Fault::Outside { what, source }.into()
}

type Events = (Sender<Event>, Receiver<Event>);

/// A session about to run.
struct Job<'j> {
    args: &'j Args,
    spec: &'j Spec,
    evaluator: &'j Evaluator,
    question: &'j Question,
    folder: &'j Folder,
    threads: usize,
}

impl Job<'_> {
    /// Opens log and store.
    fn begin(
        &self,
        address: Option<Address>,
        fresh: bool,
        console: &mut Console,
    ) -> anyhow::Result<(Vec<Record>, Box<dyn Store>, Events)> {
        let (log, found) = TrialLog::open(&self.folder.log()).map_err(log_error)?;
        if found.torn > 0 {
            let (torn, kept) = (found.torn, found.records.len());
            console.say(&format!(
                "{torn} bytes of a torn last line were cut off the log; {kept} trials are whole"
            ));
        }
        let (mut records, events) = (found.records, channel());
        let store: Box<dyn Store> = match address {
            None => Box::new(FileStore(log)),
            Some(address) => {
                let identity = self.question.identity().map_err(|why| anyhow::anyhow!(why))?;
                let setup = Setup {
                    address,
                    id: self.folder.id().to_owned(),
                    identity,
                    home: self.folder.home(),
                    attempts: self.args.attempts,
                    lease: Duration::from_secs_f64(self.args.lease),
                    resume: !fresh,
                };
                Box::new(RedisStore::open(setup, log, &mut records, events.0.clone()).map_err(store_error)?)
            }
        };
        Ok((records, store, events))
    }

    fn work(
        &self,
        records: Vec<Record>,
        mut store: Box<dyn Store>,
        events: Events,
        console: &mut Console,
    ) -> anyhow::Result<finish::Summary> {
        let begun = Instant::now();
        let sampler = &self.spec.sampler;
        let plan = Plan {
            folds: u32::try_from(self.evaluator.folds().len()).unwrap_or(u32::MAX),
            trials: sampler.trials,
            batch: sampler.batch,
            seed: sampler.seed,
            sampler: sampler.config.clone(),
            space: self.spec.space.clone(),
            asynchronous: self.question.header.asynchronous,
            threads: self.threads,
        };
        let rungs = |reached: &[&[f64]]| self.spec.pruner.rungs(reached.iter().copied());
        let evaluate = |task: &_| self.evaluator.evaluate(task);
        let ended = session::run(&plan, &rungs, records, store.as_mut(), events, &evaluate, console);
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                self.leave(store.as_mut(), Status::Paused, &[], console)?;
                return Err(match error {
                    SessionError::Log(error) => log_error(error),
                    other => other.into(),
                });
            }
        };
        let Ended { status, progress, .. } = &ended;
        if *status == Status::Paused {
            self.leave(store.as_mut(), Status::Paused, &[], console)?;
            console.end();
            eprintln!("stopped after {} of {} trials", progress.trials, progress.of);
            return Err(Fault::Interrupted.into());
        }
        let seconds = begun.elapsed().as_secs_f64();
        let checked = finish::check(self.evaluator, &ended, self.args.recheck, sampler.seed);
        let status = if checked.is_ok() { Status::Done } else { Status::Paused };
        let figures = [("digest", session::digest(&ended.records))];
        self.leave(store.as_mut(), status, &figures, console)?;
        checked.inspect_err(|error| self.folder.note(&error.to_string()))?;
        let report = finish::judge(self.spec, self.evaluator, &ended.records, self.threads)?;
        let summary = finish::summary(self.folder.id(), self.spec, self.evaluator, &ended, seconds, &report);
        let text = serde_json::to_string_pretty(&finish::Whole {
            summary: &summary,
            validation: &report,
        })?;
        self.folder
            .write(session::folder::SUMMARY, text.as_bytes(), true)
            .map_err(folder_error)?;
        if !self.args.no_plots {
            self.draw(ended.records, &summary, &report)?;
        }
        Ok(summary)
    }

    /// Pictures and report into the session's folder.
    fn draw(&self, records: Vec<Record>, summary: &finish::Summary, report: &Report) -> anyhow::Result<()> {
        let mut results = read::results(self.spec, self.question, records);
        results.folds.clone_from(&summary.windows);
        results.digest.clone_from(&summary.digest);
        results.period_s = summary.period_s;
        let results = results.judged(report).with_importance();
        match pictures::write(self.folder.path(), &results, Formats::ALL) {
            Ok(_) => Ok(()),
            Err(WriteError::Io { path, source }) => {
                let what = path.display().to_string();
                Err(Fault::Outside { what, source }.into())
            }
            Err(error) => Err(error).context("cannot draw"),
        }
    }

    fn leave(
        &self,
        store: &mut dyn Store,
        status: Status,
        figures: &[(&'static str, String)],
        console: &mut Console,
    ) -> anyhow::Result<()> {
        if let Some(missing) = store.finish(status, figures).map_err(log_error)? {
            console.say(&missing);
        }
        Ok(())
    }
}
