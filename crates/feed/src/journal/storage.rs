//! The seam between the journal and the disk, so that tests can have disks that are full, slow or broken.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Where segments are made.
pub trait Storage: Send + Sync + 'static {
    /// Makes a file that was not there.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` when it was there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that grows.
pub trait SegmentFile: Send {
    /// Hands bytes to the kernel; how many it took.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// What makes its contents durable, from another thread.
    ///
    /// # Errors
    /// What the system says.
    fn durable(&self) -> io::Result<Arc<dyn Durable>>;
}

/// Makes a file's contents durable.
pub trait Durable: Send + Sync {
    /// Returns when everything written before the call is on the disk.
    ///
    /// # Errors
    /// What the system says; what was written since the last success may be lost then.
    fn sync(&self) -> io::Result<()>;
}

/// The real disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl SegmentFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn durable(&self) -> io::Result<Arc<dyn Durable>> {
        Ok(Arc::new(self.try_clone()?))
    }
}

impl Durable for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
