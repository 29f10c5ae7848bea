//! The directory of a run: written beside its final name, sealed with checksums, and renamed when whole.
//!
//! What always holds: `runs/<id>` either is a whole run or does not exist; a run that is there is never written into
//! again, except by those who remake its pictures and report; what is left of a writer that died is removed by the next
//! one; every byte of the data files is covered by a checksum in `BLAKE3SUMS`.
//!
//! `config.toml`, `manifest.json` and the tables are the same bytes each time the same run is made. `summary.json` is
//! not: it tells the time it took and the directory's name.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crossbook_engine::units::Overflow;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::rows;
use super::table::Reader;
use crate::report::{Run, RunMeta, Statistics, Summary};

/// Version of the layout; a reader refuses any other.
pub const SCHEMA: u32 = 1;
const SUMS: &str = "BLAKE3SUMS";
// Of their own kind, so that no other tool's temporary directory is taken for one of these.
const TMP: &str = ".tmp-run-";
const REPLACED: &str = ".replaced-run-";

/// Why a run directory was not written or read.
#[derive(Debug, Error)]
pub enum RunDirError {
    /// The system refused a file operation.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name cannot be that of a directory.
    #[error("`{id}` cannot name a run: letters, digits, `-`, `_` and `.` only, not first a `.`, at most 120 of them")]
    Name {
        /// The name.
        id: String,
    },
    /// Another process is writing this very run.
    #[error("{}: another process is writing this run", path.display())]
    Busy {
        /// Its temporary directory.
        path: PathBuf,
    },
    /// Not a run directory, or not a whole one.
    #[error("{}: not a run directory: {file} is missing", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
        /// What it lacks.
        file: String,
    },
    /// A file is not what was written.
    #[error("{}: damaged: its checksum is {got}, {SUMS} says {want}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Checksum that was written down.
        want: String,
        /// Checksum of what is there.
        got: String,
    },
    /// A file that is whole has something in it that a run of this version does not write.
    #[error("{}: {detail}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The rows name something that the meta data do not.
    #[error("rows and names of the run do not fit: {0}")]
    Nameless(String),
    /// A sum over the rows does not fit.
    #[error("statistics: {0}")]
    Overflow(#[from] Overflow),
}

impl RunDirError {
    /// A complaint about what is in a file.
    pub fn schema(path: &Path, detail: String) -> RunDirError {
        RunDirError::Schema {
            path: path.to_path_buf(),
            detail,
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
        let path = path.to_path_buf();
        move |source| RunDirError::Io { path, source }
    }
}

/// What to do when the wanted name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it, and number the new one: `<id>-2`, `<id>-3`.
    Keep,
    /// Put the new one in its place once it is whole.
    Replace,
}

/// What is written beside the tables.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// The tables as CSV, too.
    pub csv: bool,
    /// Pictures and report by file name; they may be remade later and carry no checksum.
    pub files: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Serialize)]
struct Manifest<'a> {
    schema: u32,
    #[serde(flatten)]
    meta: &'a RunMeta,
}

/// What of `summary.json` cannot be computed again.
#[derive(Debug, Deserialize)]
struct Head {
    run_id: String,
    seconds: f64,
}

/// A place for a run that is being made. Dropping it unfinished leaves nothing behind.
#[derive(Debug)]
pub struct RunDirWriter {
    root: PathBuf,
    id: String,
    tmp: PathBuf,
    existing: Existing,
    // Held while the writer lives, so that others can tell a leftover from work in progress.
    _lock: File,
}

impl RunDirWriter {
    /// Finds a free name under `root` (made if need be), clears away what dead writers left there, and holds the name
    /// until [`RunDirWriter::finish`]. Do it before the work, so that a bad place is found out at once.
    ///
    /// # Errors
    /// [`RunDirError::Name`], [`RunDirError::Busy`] (with [`Existing::Replace`]), [`RunDirError::Io`].
    pub fn begin(root: &Path, id: &str, existing: Existing) -> Result<RunDirWriter, RunDirError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > 120 || id.starts_with('.') || !id.chars().all(plain) {
            return Err(RunDirError::Name { id: id.to_string() });
        }
        fs::create_dir_all(root).map_err(RunDirError::io(root))?;
        clear_leftovers(root)?;
        for number in 1u32.. {
            let candidate = if number == 1 {
                id.to_string()
            } else {
                format!("{id}-{number}")
            };
            if existing == Existing::Keep && exists(&root.join(&candidate))? {
                continue;
            }
            let tmp = root.join(format!("{TMP}{candidate}"));
            match reserve(&tmp)? {
                Some(lock) => {
                    return Ok(RunDirWriter {
                        root: root.to_path_buf(),
                        id: candidate,
                        tmp,
                        existing,
                        _lock: lock,
                    });
                }
                None if existing == Existing::Replace => return Err(RunDirError::Busy { path: tmp }),
                None => continue,
            }
        }
        unreachable!("four thousand million runs of one name")
    }

    /// The name that the run will have.
    pub fn run_id(&self) -> &str {
        &self.id
    }

    /// The directory that will be there at the end.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.id)
    }

    /// Writes everything, forces it to disk, and renames.
    ///
    /// # Errors
    /// [`RunDirError`]; then nothing is left behind and what was there before is untouched.
    ///
    /// # Panics
    /// When the run does not bear the name of this writer.
    pub fn finish(self, run: &Run, extras: &Extras) -> Result<PathBuf, RunDirError> {
        if let Some(problem) = rows::nameless(&run.rows, &run.meta) {
            return Err(RunDirError::Nameless(problem));
        }
        assert_eq!(run.run_id, self.id, "a run has the name of its directory");
        let manifest = Manifest {
            schema: SCHEMA,
            meta: &run.meta,
        };
        let target = self.path();
        let mut sums = String::new();
        let mut seal = |name: String, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
            let hash = write_file(&self.tmp.join(&name), write)?;
            sums.push_str(&format!("{hash}  {name}\n"));
            Ok::<(), RunDirError>(())
        };
        seal("config.toml".into(), &|to| to.write_all(run.config.as_bytes()))?;
        seal("manifest.json".into(), &|to| json(to, &manifest))?;
        for table in rows::tables(&run.rows, &run.meta) {
            failpoint(table.name);
            seal(format!("{}.parquet", table.name), &|to| table.write_parquet(to))?;
            if extras.csv {
                seal(format!("{}.csv", table.name), &|to| table.write_csv(to))?;
            }
        }
        seal("summary.json".into(), &|to| json(to, &Summary::new(run, &target)))?;
        write_file(&self.tmp.join(SUMS), &|to| to.write_all(sums.as_bytes()))?;
        for (name, bytes) in &extras.files {
            write_file(&self.tmp.join(name), &|to| to.write_all(bytes))?;
        }
        sync_dir(&self.tmp)?;
        failpoint("before_rename");
        self.publish(&target)?;
        failpoint("after_rename");
        Ok(target)
    }

    fn publish(&self, target: &Path) -> Result<(), RunDirError> {
        let old = self.root.join(format!("{REPLACED}{}", self.id));
        if self.existing == Existing::Replace && exists(target)? {
            fs::rename(target, &old).map_err(RunDirError::io(target))?;
            failpoint("between_renames");
        }
        // Fails when someone else's run has got there meanwhile: a directory with files in it is not replaced.
        if let Err(source) = fs::rename(&self.tmp, target) {
            if exists(&old)? {
                fs::rename(&old, target).map_err(RunDirError::io(&old))?;
            }
            return Err(RunDirError::Io {
                path: target.to_path_buf(),
                source,
            });
        }
        sync_dir(&self.root)?;
        remove(&old)
    }
}

impl Drop for RunDirWriter {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name; what cannot be removed is cleared by the next writer.
        let _ = fs::remove_dir_all(&self.tmp);
    }
}

/// Reads a run back, whole, after checking every data file against its checksum.
///
/// # Errors
/// [`RunDirError`] naming the file that is missing, damaged or not as a run writes it.
pub fn open(path: &Path) -> Result<Run, RunDirError> {
    let sums = read_sums(path)?;
    let mut checked = Vec::new();
    for (name, want) in sums {
        let file = path.join(&name);
        let bytes = read(path, &name)?;
        let got = blake3::hash(&bytes).to_hex().to_string();
        if got != want {
            return Err(RunDirError::Damaged { path: file, want, got });
        }
        if !name.ends_with(".csv") {
            checked.push((name, file, bytes));
        }
    }
    let mut take = |name: &str| {
        let at = checked.iter().position(|(known, ..)| known == name);
        let at = at.ok_or_else(|| RunDirError::Missing {
            path: path.to_path_buf(),
            file: format!("{name} in {SUMS}"),
        })?;
        let (_, file, bytes) = checked.swap_remove(at);
        Ok::<_, RunDirError>((file, bytes))
    };
    let (file, bytes) = take("config.toml")?;
    let config = String::from_utf8(bytes).map_err(|error| RunDirError::schema(&file, error.to_string()))?;
    let (file, bytes) = take("manifest.json")?;
    let meta = read_manifest(&file, &bytes)?;
    let (file, bytes) = take("summary.json")?;
    let head: Head = serde_json::from_slice(&bytes).map_err(|error| RunDirError::schema(&file, error.to_string()))?;
    let rows = rows::from_tables(&meta, |name| {
        let (file, bytes) = take(&format!("{name}.parquet"))?;
        Reader::new(file, bytes)
    })?;
    Ok(Run {
        run_id: head.run_id,
        statistics: Statistics::new(&rows, &meta, None)?,
        meta,
        config,
        rows,
        seconds: head.seconds,
    })
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, RunDirError> {
    let file = dir.join(name);
    fs::read(&file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => RunDirError::Missing {
            path: dir.to_path_buf(),
            file: name.to_string(),
        },
        _ => RunDirError::Io { path: file, source },
    })
}

fn read_sums(dir: &Path) -> Result<Vec<(String, String)>, RunDirError> {
    let file = dir.join(SUMS);
    let text = String::from_utf8(read(dir, SUMS)?).map_err(|error| RunDirError::schema(&file, error.to_string()))?;
    if !text.ends_with('\n') {
        return Err(RunDirError::schema(&file, "its last line is cut".to_string()));
    }
    text.lines()
        .enumerate()
        .map(|(at, line)| match line.split_once("  ") {
            Some((hash, name)) if hash.len() == 64 && !name.is_empty() && !name.contains('/') => {
                Ok((name.to_string(), hash.to_string()))
            }
            _ => Err(RunDirError::schema(
                &file,
                format!("line {}: not `<hash>  <file>`", at + 1),
            )),
        })
        .collect()
}

fn read_manifest(file: &Path, bytes: &[u8]) -> Result<RunMeta, RunDirError> {
    let bad = |error: serde_json::Error| RunDirError::schema(file, error.to_string());
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes).map_err(bad)?;
    let schema = fields.remove("schema");
    if schema != Some(SCHEMA.into()) {
        let schema = schema.map_or("none".to_string(), |schema| schema.to_string());
        let detail = format!("schema is {schema}; this version of crossbook reads {SCHEMA}");
        return Err(RunDirError::schema(file, detail));
    }
    serde_json::from_value(fields.into()).map_err(bad)
}

fn json(to: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, value)?;
    to.write_all(b"\n")
}

/// Passes bytes on and hashes what was taken.
struct Hashing<W> {
    to: W,
    hash: blake3::Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes a new file, forces it to disk, and gives its checksum.
fn write_file(path: &Path, write: &dyn Fn(&mut dyn Write) -> io::Result<()>) -> Result<String, RunDirError> {
    let attempt = || {
        let file = File::options().write(true).create_new(true).open(path)?;
        let mut to = Hashing {
            to: BufWriter::new(file),
            hash: blake3::Hasher::new(),
        };
        write(&mut to)?;
        to.to.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok(to.hash.finalize().to_hex().to_string())
    };
    attempt().map_err(RunDirError::io(path))
}

fn sync_dir(path: &Path) -> Result<(), RunDirError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(RunDirError::io(path))
}

fn exists(path: &Path) -> Result<bool, RunDirError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(RunDirError::io(path)(source)),
    }
}

fn remove(dir: &Path) -> Result<(), RunDirError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(RunDirError::io(dir)(source)),
        _ => Ok(()),
    }
}

/// Makes and locks a temporary directory; `None` when another process has it.
fn reserve(tmp: &Path) -> Result<Option<File>, RunDirError> {
    match fs::create_dir(tmp) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made.map_err(RunDirError::io(tmp))?,
    }
    let Some(lock) = lock(tmp)? else {
        return Ok(None);
    };
    // Someone may have taken it for a leftover before it was locked, and removed it.
    let same = |ours: fs::Metadata, there: fs::Metadata| ours.dev() == there.dev() && ours.ino() == there.ino();
    let ours = lock.metadata().map_err(RunDirError::io(tmp))?;
    Ok(fs::metadata(tmp).is_ok_and(|there| same(ours, there)).then_some(lock))
}

/// Locks a directory; `None` when it is gone or a living process holds it. The lock ends with the process.
fn lock(dir: &Path) -> Result<Option<File>, RunDirError> {
    let file = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(RunDirError::io(dir))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(RunDirError::io(dir)(source)),
    }
}

/// Removes what dead writers left under `root`, and puts a run back whose replacement never came.
fn clear_leftovers(root: &Path) -> Result<(), RunDirError> {
    let entries = fs::read_dir(root).map_err(RunDirError::io(root))?;
    for entry in entries {
        let name = entry.map_err(RunDirError::io(root))?.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = root.join(name);
        if let Some(id) = name.strip_prefix(REPLACED) {
            let (tmp, target) = (root.join(format!("{TMP}{id}")), root.join(id));
            if exists(&tmp)? && lock(&tmp)?.is_none() {
                continue;
            }
            if exists(&target)? {
                remove(&path)?;
            } else {
                fs::rename(&path, &target).map_err(RunDirError::io(&path))?;
            }
        } else if name.starts_with(TMP)
            && let Some(_lock) = lock(&path)?
        {
            // What cannot be removed is in nobody's way: its name is passed over.
            let _ = remove(&path);
        }
    }
    Ok(())
}

/// Where the tests' child process can be told to die.
#[cfg(test)]
fn failpoint(name: &str) {
    if std::env::var("CROSSBOOK_TEST_DIE_AT").is_ok_and(|at| at == name) {
        std::process::abort();
    }
}

#[cfg(not(test))]
fn failpoint(_name: &str) {}

#[cfg(test)]
mod tests;
