//! A session on disk: `<sessions>/<id>/` with `session.toml` (the question: specification, version, data), `trials.jsonl`
//! (the answers, see [`crate::tune::log`]), `notes.log` (what happened on the way) and, once it is done, `summary.json`.
//!
//! - *Invariant:* `session.toml` never changes; its hash is the session's identity, and a session whose question would be
//!   another one today (version or data have changed) is not gone on with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sink::file::write_whole;
use crate::tune::log::{self, LogError};
use crate::tune::store::link::{Identity, is_name};

/// Name of the file with the question.
pub const QUESTION: &str = "session.toml";
/// Name of the file with the final figures.
pub const SUMMARY: &str = "summary.json";
/// Name of the file with what happened on the way.
const NOTES: &str = "notes.log";

/// What begins the second part of a `session.toml`; the first is the specification.
const MARK: &str = "\n# Written by crossbook; not to be edited.\n[session]\n";

/// Why a session's folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// There is no such session.
    #[error("{path}: no session is there; `crossbook sessions list` shows those there are")]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{path}: a session is there already; go on with it with --resume, or take another --id")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The name cannot be a folder's.
    #[error("session id {id:?}: letters, digits, '-', '_' and '.' are allowed, and no '.' at the beginning")]
    Name {
        /// The name.
        id: String,
    },
    /// The file is not what was written.
    #[error("{path}: {why}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The session was another question.
    #[error(
        "{path}: the session cannot go on: {what} has changed since it began (was {was}, is {is}); start a new one"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// What has changed.
        what: String,
        /// How it was.
        was: String,
        /// How it is.
        is: String,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a session is, besides its specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its id.
    pub id: String,
    /// Version of crossbook.
    pub version: String,
    /// Whether trials are told as they finish.
    #[serde(default)]
    pub asynchronous: bool,
    /// Content hash of every dataset, by name.
    pub data: BTreeMap<String, String>,
}

/// A session's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The specification as TOML, complete.
    pub spec: String,
    /// The rest.
    pub header: Header,
}

impl Question {
    /// Parses the text of a `session.toml`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Question, String> {
        let Some((spec, header)) = text.rsplit_once(MARK) else {
            return Err("the table [session] is missing at its end".to_owned());
        };
        let header: Header = toml::from_str(header).map_err(|error| error.to_string().trim_end().to_owned())?;
        let spec = spec.to_owned();
        Ok(Question { spec, header })
    }

    /// The text of its `session.toml`.
    ///
    /// # Errors
    /// Never, for what [`Question::parse`] or a session made.
    pub fn to_text(&self) -> Result<String, String> {
        let header = toml::to_string(&self.header).map_err(|error| error.to_string())?;
        Ok(format!(
            "{}{MARK}{header}",
            self.spec.trim_end_matches('\n').to_owned() + "\n"
        ))
    }

    /// What it is called in a store.
    ///
    /// # Errors
    /// As [`Question::to_text`].
    pub fn identity(&self) -> Result<Identity, String> {
        let session = self.to_text()?;
        let mut hash = blake3::hash(session.as_bytes()).to_hex().to_string();
        hash.truncate(32);
        Ok(Identity { hash, session })
    }

    /// Refuses when this question, asked before, is not the one that would be asked now.
    ///
    /// # Errors
    /// [`FolderError::Changed`] with what differs first.
    pub fn same_as(&self, now: &Question, path: &Path) -> Result<(), FolderError> {
        let changed = |what: &str, was: &str, is: &str| {
            Err(FolderError::Changed {
                path: path.to_owned(),
                what: what.to_owned(),
                was: was.to_owned(),
                is: is.to_owned(),
            })
        };
        let (was, is) = (&self.header, &now.header);
        if was.version != is.version {
            return changed("the version of crossbook", &was.version, &is.version);
        }
        let none = "not there".to_owned();
        for name in was.data.keys().chain(is.data.keys()) {
            let (before, after) = (was.data.get(name).unwrap_or(&none), is.data.get(name).unwrap_or(&none));
            if before != after {
                return changed(&format!("the content of dataset {name}"), before, after);
            }
        }
        if was.asynchronous != is.asynchronous {
            let word = |asynchronous| if asynchronous { "--async" } else { "in batches" };
            return changed("the order of telling", word(was.asynchronous), word(is.asynchronous));
        }
        let (mut before, mut after) = (self.spec.trim_end().lines(), now.spec.trim_end().lines());
        loop {
            match (before.next(), after.next()) {
                (None, None) => return Ok(()),
                (was, is) if was == is => {}
                (was, is) => {
                    let shown = |line: Option<&str>| format!("{:?}", line.unwrap_or("the end"));
                    return changed("the specification", &shown(was), &shown(is));
                }
            }
        }
    }
}

/// The folder of a session.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    id: String,
}

impl Folder {
    /// Makes the folder of a new session under the name `wanted`; without `exact`, a number is added when that is taken.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn create(sessions: &Path, wanted: &str, exact: bool) -> Result<Folder, FolderError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            |source| FolderError::Io { path, source }
        };
        if !is_name(wanted) {
            return Err(FolderError::Name { id: wanted.to_owned() });
        }
        fs::create_dir_all(sessions).map_err(io(sessions))?;
        for number in 1_u64.. {
            let id = if number == 1 {
                wanted.to_owned()
            } else {
                format!("{wanted}-{number}")
            };
            let path = sessions.join(&id);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Folder { path, id }),
                // A folder without a question is what a session left that was killed before it began, or could not.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && exact => {
                    let folder = Folder { path, id };
                    if folder.path.join(QUESTION).exists() {
                        return Err(FolderError::Exists { path: folder.path });
                    }
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io(&path)(error)),
            }
        }
        Err(FolderError::Name { id: wanted.to_owned() })
    }

    /// The folder of a session that is there.
    ///
    /// # Errors
    /// [`FolderError::Missing`] when there is none.
    pub fn existing(sessions: &Path, id: &str) -> Result<Folder, FolderError> {
        if !is_name(id) {
            return Err(FolderError::Name { id: id.to_owned() });
        }
        let folder = Folder {
            path: sessions.join(id),
            id: id.to_owned(),
        };
        if folder.path.join(QUESTION).exists() {
            Ok(folder)
        } else {
            Err(FolderError::Missing { path: folder.path })
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its log is.
    pub fn log(&self) -> PathBuf {
        self.path.join(log::FILE)
    }

    /// Reads its question.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn question(&self) -> Result<Question, FolderError> {
        let path = self.path.join(QUESTION);
        let text = fs::read_to_string(&path).map_err(|source| FolderError::Io {
            path: path.clone(),
            source,
        })?;
        Question::parse(&text).map_err(|why| FolderError::Broken { path, why })
    }

    /// Writes its question.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn write_question(&self, question: &Question) -> Result<(), FolderError> {
        let path = self.path.join(QUESTION);
        let text = question.to_text().map_err(|why| FolderError::Broken {
            path: path.clone(),
            why,
        })?;
        self.write(QUESTION, text.as_bytes(), false)
    }

    /// Writes one of its files, whole or not at all.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, name: &str, bytes: &[u8], replace: bool) -> Result<(), FolderError> {
        let path = self.path.join(name);
        write_whole(&path, bytes, replace).map_err(|source| FolderError::Io { path, source })
    }

    /// Removes the folder of a session that could not begin. One that has a trial stays.
    pub fn discard(&self) {
        if fs::metadata(self.log()).is_ok_and(|data| data.len() > 0) {
            return;
        }
        for name in [QUESTION, log::FILE, NOTES] {
            let _ = fs::remove_file(self.path.join(name));
        }
        let _ = fs::remove_dir(&self.path);
    }

    /// Adds a line with the time to its notes. Notes are for the reader: one that cannot be written is left out.
    pub fn note(&self, text: &str) {
        let file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path.join(NOTES));
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{} {text}", jiff::Timestamp::now());
        }
    }

    /// Who coordinates from this folder: the same for every process, since the lock on the log lets only one at a time.
    pub fn home(&self) -> String {
        let host = host();
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
        format!("{host}-{}", &hash[..16])
    }
}

/// Name of this host, in letters that a key may have.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = name.trim().chars().filter(|c| kept(*c)).take(60).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            spec: "name = \"a\"\n\n[space]\nx = 1\n".to_owned(),
            header: Header {
                id: "a".to_owned(),
                version: "1.2.3".to_owned(),
                asynchronous: false,
                data: BTreeMap::from([("one".to_owned(), "ab12".to_owned())]),
            },
        }
    }

    #[test]
    fn a_question_is_read_back_and_is_the_same() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::create(sessions.path(), "a", true).unwrap();
        folder.write_question(&question()).unwrap();
        let read = folder.question().unwrap();
        assert_eq!(read.header, question().header);
        read.same_as(&question(), folder.path()).unwrap();
        question().same_as(&read, folder.path()).unwrap();
        assert_eq!(read.identity().unwrap(), question().identity().unwrap());
        assert!(matches!(
            Folder::create(sessions.path(), "a", true),
            Err(FolderError::Exists { .. })
        ));
        assert_eq!(Folder::create(sessions.path(), "a", false).unwrap().id(), "a-2");
        assert!(matches!(
            Folder::existing(sessions.path(), "b"),
            Err(FolderError::Missing { .. })
        ));
        for name in ["", "../a", ".a", "a b", "a/b"] {
            assert!(
                matches!(
                    Folder::create(sessions.path(), name, true),
                    Err(FolderError::Name { .. })
                ),
                "{name:?}"
            );
        }
    }

    /// What has changed is named, with how it was and how it is.
    #[test]
    fn f75_a_session_whose_question_has_changed_is_not_gone_on_with() {
        type Change = fn(&mut Question);
        let cases: [(Change, &str); 5] = [
            (
                |now| now.header.version = "1.2.4".to_owned(),
                "version of crossbook has changed since it began (was 1.2.3, is 1.2.4)",
            ),
            (
                |now| now.header.data.values_mut().for_each(|hash| hash.push('0')),
                "dataset one has changed since it began (was ab12, is ab120)",
            ),
            (|now| now.header.data.clear(), "dataset one"),
            (|now| now.header.asynchronous = true, "order of telling"),
            (
                |now| now.spec = now.spec.replace("x = 1", "x = 2"),
                "(was \"x = 1\", is \"x = 2\")",
            ),
        ];
        for (change, part) in cases {
            let mut now = question();
            change(&mut now);
            let error = question().same_as(&now, Path::new("s")).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert_ne!(question().identity().unwrap().hash, now.identity().unwrap().hash);
        }
    }
}
