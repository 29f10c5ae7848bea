//! One recorder a folder: a lock of the system's, which goes with the process, and the owner's name inside the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{JournalError, io_error};

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Name of the lock's file. It stays behind and means nothing when nobody holds it.
const NAME: &str = "recorder.lock";

impl Lock {
    /// Takes the folder for `owner`.
    ///
    /// # Errors
    /// [`JournalError::Locked`] with the owner when another process has it.
    pub fn take(dir: &Path, owner: &str) -> Result<Lock, JournalError> {
        let path = dir.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // What cannot be read is not known; the refusal stands either way.
                let _ = file.take(4_096).read_to_string(&mut owner);
                let owner = match owner.trim() {
                    "" => "which has not said its name yet".to_owned(),
                    told => told.to_owned(),
                };
                return Err(JournalError::Locked {
                    dir: dir.to_owned(),
                    owner,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(owner.as_bytes()))
            .map_err(io_error("write", &path))?;
        Ok(Lock { _file: file })
    }
}
