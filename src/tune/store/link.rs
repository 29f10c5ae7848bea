//! A connection to Redis with names for what a session does there. Every change is one script, so it happens whole or not
//! at all; `docs/tuning-store.md` describes the keys.
//!
//! - *Invariant:* no call waits longer than [`PATIENCE`]; a connection that failed once is not used again.
//! - *Invariant:* a password in a URL is never printed.

use std::fmt;
use std::time::Duration;

use redis::{Client, Connection, ErrorKind, RedisError, Script, Value};
use thiserror::Error;

/// How long to wait for a connection or an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Redis is asked for the trials of a session in pages of this many.
const PAGE: usize = 256;

/// Why a call came to nothing.
#[derive(Debug, Error)]
pub enum LinkError {
    /// No connection, no answer in time, or a refusal (out of memory, read-only).
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// The server does not know the session (it came back empty, or somebody deleted it).
    #[error("the store does not know the session")]
    Gone,
    /// Another coordinator has taken the session over.
    #[error("another coordinator has taken the session over")]
    Ousted,
    /// The server holds something else than we expect.
    #[error("unexpected content: {0}")]
    Content(String),
}

impl LinkError {
    /// Whether the server wants another password: waiting mends nothing.
    pub fn is_refusal(&self) -> bool {
        let LinkError::Redis(error) = self else { return false };
        error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
    }
}

/// Where a Redis is, and under which names sessions are there.
#[derive(Clone)]
pub struct Address {
    client: Client,
    namespace: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Host and port; user, password and options stay out.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.client.get_connection_info();
        write!(out, "redis://{}/{}", info.addr(), info.redis_settings().db())
    }
}

impl Address {
    /// Reads a URL such as `redis://host:6379/0`. `env` is a word of letters, digits, `-`, `_` and `.`.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it: it may hold a password.
    pub fn parse(url: &str, env: &str) -> Result<Address, String> {
        if url.starts_with("rediss:") {
            return Err(
                "TLS is not built in; give the plain redis:// end of a tunnel on this host or in this pod".to_owned(),
            );
        }
        if !url.starts_with("redis://") {
            return Err("`file` or redis://host:6379/0 is allowed".to_owned());
        }
        if !is_name(env) {
            return Err(format!(
                "environment {env:?}: letters, digits, '-', '_' and '.' are allowed"
            ));
        }
        let client = Client::open(url).map_err(|error| {
            format!("the store's URL is not understood ({error}); it looks like redis://host:6379/0")
        })?;
        Ok(Address {
            client,
            namespace: format!("tuning:{env}:replay"),
        })
    }

    /// Host, port and database as a URL: what a command to be typed may show.
    pub fn plain(&self) -> String {
        self.to_string()
    }

    /// Whether the URL holds a password, which [`plain`](Address::plain) leaves out.
    pub fn has_password(&self) -> bool {
        let info = self.client.get_connection_info();
        info.redis_settings().password().is_some()
    }

    fn connect(&self) -> Result<Connection, RedisError> {
        let connection = self.client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(connection)
    }
}

/// Whether a word may be part of a key, a folder's name or a worker's name.
pub fn is_name(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !word.is_empty() && word.len() <= 200 && word.chars().all(fits) && !word.starts_with('.')
}

/// What a session is in a store: the question that it answers. Two sessions of one identity have one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hash of the specification, the version and the data.
    pub hash: String,
    /// The session's file `session.toml`, whole: enough to rebuild its folder elsewhere.
    pub session: String,
}

/// What taking a session over found.
#[derive(Debug, PartialEq, Eq)]
pub enum Attached {
    /// It is ours now.
    Ours {
        /// Lines of the log that the server holds.
        lines: u64,
        /// The last of them; empty when there is none.
        last: String,
        /// Whether an earlier life of the coordinator left tasks or results behind.
        left: bool,
    },
    /// Another session goes by this id.
    Other,
    /// Another coordinator works on it, and may be taken for dead after so many milliseconds.
    Busy(u64),
}

/// A task that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Number of the trial.
    pub id: u64,
    /// Its entry in the stream of tasks.
    pub entry: String,
    /// The task as JSON.
    pub task: String,
}

/// A result that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its entry in the stream of results.
    pub entry: String,
    /// Number of the trial.
    pub id: u64,
    /// Who handed it in; for a lost trial, who was lost on it.
    pub worker: String,
    /// The record as JSON; `None` when the trial was given up.
    pub record: Option<String>,
}

/// What the coordinator's heartbeat brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Workers whose heartbeat has not ended.
    pub workers: usize,
    /// Results, oldest first.
    pub received: Vec<Received>,
    /// Ids on offer; empty unless asked for.
    pub on_offer: Vec<u64>,
}

struct Scripts {
    attach: Script,
    push: Script,
    offer: Script,
    claim: Script,
    renew: Script,
    submit: Script,
    give_back: Script,
    collect: Script,
    settle: Script,
    finish: Script,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(
            include_str!("lua/prelude.lua"),
            include_str!(concat!("lua/", $name))
        ))
    };
}

/// A connection for one session. See the module.
pub struct Link {
    connection: Connection,
    keys: [String; 8],
    identity: String,
    id: String,
    /// The last entry of the offers that the last claim has seen.
    offered: String,
    scripts: Scripts,
}

impl Link {
    /// Connects for a session; its identity is checked by every call from then on.
    ///
    /// # Errors
    /// When there is no connection within [`PATIENCE`].
    pub fn open(address: &Address, id: &str, identity: &str) -> Result<Link, LinkError> {
        let base = format!("{}:tuning_session:{id}", address.namespace);
        let key = |part: &str| format!("{base}:{part}");
        Ok(Link {
            connection: address.connect()?,
            keys: [
                base.clone(),
                key("trials"),
                key("tasks"),
                key("results"),
                key("leases"),
                key("workers"),
                key("board"),
                format!("{}:sessions", address.namespace),
            ],
            identity: identity.to_owned(),
            id: id.to_owned(),
            offered: "$".to_owned(),
            scripts: Scripts {
                attach: script!("attach.lua"),
                push: script!("push.lua"),
                offer: script!("offer.lua"),
                claim: script!("claim.lua"),
                renew: script!("renew.lua"),
                submit: script!("submit.lua"),
                give_back: script!("give_back.lua"),
                collect: script!("collect.lua"),
                settle: script!("settle.lua"),
                finish: script!("finish.lua"),
            },
        })
    }

    fn call(&mut self, script: fn(&Scripts) -> &Script, args: &[&str]) -> Result<Vec<String>, LinkError> {
        let mut call = script(&self.scripts).prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        call.arg(&self.identity);
        for arg in args {
            call.arg(*arg);
        }
        let mut reply: Vec<String> = call.invoke(&mut self.connection)?;
        match reply.first().map(String::as_str) {
            Some("gone") => Err(LinkError::Gone),
            Some("ousted") => Err(LinkError::Ousted),
            Some("ok") => {
                reply.remove(0);
                Ok(reply)
            }
            _ => Ok(reply),
        }
    }

    /// Takes the session over as its coordinator, making it when the server does not know it.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn attach(
        &mut self,
        home: &str,
        beat: Duration,
        attempts: u32,
        identity: &Identity,
    ) -> Result<Attached, LinkError> {
        let (beat, attempts, id) = (millis(beat), attempts.to_string(), self.id.clone());
        let args = [home, &beat, &id, "session", &identity.session, "attempts", &attempts];
        let reply = self.call(|scripts| &scripts.attach, &args)?;
        match reply.first().map(String::as_str) {
            Some("other") => Ok(Attached::Other),
            Some("busy") => Ok(Attached::Busy(number(reply.get(1))?)),
            lines => Ok(Attached::Ours {
                lines: number(lines)?,
                last: reply.get(1).cloned().unwrap_or_default(),
                left: number::<u64>(reply.get(2))? > 0,
            }),
        }
    }

    /// Appends lines to the table: `(line, trial, value)`. Gives how many lines the server holds when that is not `held`;
    /// then nothing was appended.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn push(
        &mut self,
        held: u64,
        lines: &[(String, u64, Option<f64>)],
        progress: &[(&str, String)],
    ) -> Result<Option<u64>, LinkError> {
        let mut args = vec![held.to_string(), lines.len().to_string()];
        for (line, id, value) in lines {
            args.push(line.clone());
            args.push(id.to_string());
            args.push(value.map_or(String::new(), |value| value.to_string()));
        }
        for (field, value) in progress {
            args.push((*field).to_owned());
            args.push(value.clone());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let reply = self.call(|scripts| &scripts.push, &args)?;
        match reply.first().map(String::as_str) {
            Some("at") => number(reply.get(1)).map(Some),
            _ => Ok(None),
        }
    }

    /// Offers tasks: `(id, task)`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn offer<'t>(&mut self, tasks: impl Iterator<Item = (u64, &'t str)>) -> Result<(), LinkError> {
        let args: Vec<String> = tasks.flat_map(|(id, task)| [id.to_string(), task.to_owned()]).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.call(|scripts| &scripts.offer, &args).map(drop)
    }

    /// Takes up to `count` tasks. The first word of the answer is the session's status: `running`, `waiting` (no
    /// coordinator), `paused` or `done`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn claim(
        &mut self,
        worker: &str,
        count: usize,
        lease: Duration,
        beat: Duration,
    ) -> Result<(String, Vec<Claimed>), LinkError> {
        let args = [worker, &count.to_string(), &millis(lease), &millis(beat)];
        let reply = self.call(|scripts| &scripts.claim, &args)?;
        let mut words = reply.into_iter();
        let status = words.next().unwrap_or_default();
        self.offered = words.next().unwrap_or_else(|| "$".to_owned());
        let mut claimed = Vec::new();
        while let (Some(id), Some(entry), Some(task)) = (words.next(), words.next(), words.next()) {
            let id = number(Some(&id))?;
            claimed.push(Claimed { id, entry, task });
        }
        Ok((status, claimed))
    }

    /// Prolongs leases and gives those that went to another.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn renew(
        &mut self,
        worker: &str,
        lease: Duration,
        beat: Duration,
        ids: impl Iterator<Item = u64>,
    ) -> Result<Vec<u64>, LinkError> {
        let mut args = vec![worker.to_owned(), millis(lease), millis(beat)];
        args.extend(ids.map(|id| id.to_string()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let reply = self.call(|scripts| &scripts.renew, &args)?;
        reply.iter().map(|id| number(Some(id))).collect()
    }

    /// Hands results in: `(id, entry, record)`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn submit(&mut self, worker: &str, results: &[(u64, String, String)]) -> Result<(), LinkError> {
        let mut args = vec![worker.to_owned()];
        for (id, entry, record) in results {
            args.extend([id.to_string(), entry.clone(), record.clone()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.call(|scripts| &scripts.submit, &args).map(drop)
    }

    /// Gives every lease of a worker back and takes it off the list.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn give_back(&mut self, worker: &str) -> Result<(), LinkError> {
        self.call(|scripts| &scripts.give_back, &[worker]).map(drop)
    }

    /// The coordinator's heartbeat; see [`Collected`].
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn collect(
        &mut self,
        home: &str,
        beat: Duration,
        after: &str,
        list_offers: bool,
    ) -> Result<Collected, LinkError> {
        let args = [home, &millis(beat), after, if list_offers { "1" } else { "0" }];
        let reply = self.call(|scripts| &scripts.collect, &args)?;
        let mut collected = Collected {
            workers: number(reply.first())?,
            ..Collected::default()
        };
        let count: usize = number(reply.get(1))?;
        let mut words = reply.into_iter().skip(2);
        for _ in 0..count {
            let (Some(entry), Some(id), Some(worker), Some(kind), Some(body)) =
                (words.next(), words.next(), words.next(), words.next(), words.next())
            else {
                return Err(LinkError::Content("a result without its fields".to_owned()));
            };
            collected.received.push(Received {
                entry,
                id: number(Some(&id))?,
                worker,
                record: (kind == "record").then_some(body),
            });
        }
        collected.on_offer = words.map(|id| number(Some(&id))).collect::<Result<_, _>>()?;
        Ok(collected)
    }

    /// Takes trials off the offer, and results that are in the log out of the server.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn settle(&mut self, ids: &[u64], entries: &[String]) -> Result<(), LinkError> {
        let mut args = vec![ids.len().to_string()];
        args.extend(ids.iter().map(u64::to_string));
        args.extend(entries.iter().cloned());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.call(|scripts| &scripts.settle, &args).map(drop)
    }

    /// The coordinator leaves the session in a status, with fields for its hash.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn finish(&mut self, home: &str, status: &str, fields: &[(&str, String)]) -> Result<(), LinkError> {
        let mut args = vec![home, status];
        for (field, value) in fields {
            args.extend([*field, value]);
        }
        self.call(|scripts| &scripts.finish, &args).map(drop)
    }

    /// Waits until a task is offered that the last claim has not seen, at most `patience` (below [`PATIENCE`]).
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn wait_for_offer(&mut self, patience: Duration) -> Result<(), LinkError> {
        let mut command = redis::cmd("XREAD");
        command
            .arg("COUNT")
            .arg(1)
            .arg("BLOCK")
            .arg(patience.as_millis() as u64);
        let _: Value = command
            .arg("STREAMS")
            .arg(&self.keys[2])
            .arg(&self.offered)
            .query(&mut self.connection)?;
        Ok(())
    }

    /// A field of the session's hash.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn field(&mut self, name: &str) -> Result<Option<String>, LinkError> {
        let mut command = redis::cmd("HGET");
        Ok(command.arg(&self.keys[0]).arg(name).query(&mut self.connection)?)
    }

    /// Lines of the table from a number (counted from 0) on; fewer than there are when they are many.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn lines(&mut self, from: u64) -> Result<Vec<String>, LinkError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.keys[1]).arg(format!("{}-0", from + 1)).arg("+");
        let page: Vec<(String, Vec<(String, String)>)> = command.arg("COUNT").arg(PAGE).query(&mut self.connection)?;
        let mut lines = Vec::with_capacity(page.len());
        for (expected, (entry, fields)) in (from + 1..).zip(page) {
            match fields.into_iter().next() {
                Some((field, line)) if field == "line" && entry == format!("{expected}-0") => lines.push(line),
                _ => {
                    return Err(LinkError::Content(format!(
                        "entry {entry} of the trials, line {expected} expected"
                    )));
                }
            }
        }
        Ok(lines)
    }

    /// From now on calls are about a session of this identity.
    pub fn identify(&mut self, identity: String) {
        self.identity = identity;
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn number<T: std::str::FromStr>(word: Option<impl AsRef<str>>) -> Result<T, LinkError> {
    let word = word.as_ref().map_or("", |word| word.as_ref());
    word.parse()
        .map_err(|_| LinkError::Content(format!("{word:?} where a number should be")))
}
