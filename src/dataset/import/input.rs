//! Opening inputs: plain, gzip, zstd and zip alike, told by their first bytes, read as a stream.
//!
//! Parsers see a [`BufRead`] and a name, so they can be fed any bytes in tests.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use super::error::{ImportError, Place, Problem};

/// One stream of bytes to be parsed.
pub struct Input<'a> {
    /// As it appears in errors: the file, or `archive.zip:member.csv`.
    pub name: &'a str,
    /// Its bytes, decompressed.
    pub reader: &'a mut dyn BufRead,
}

/// No line of a venue or an exporter is longer; a longer one is a file of another kind.
const LONGEST_LINE: usize = 64 << 20;
const BUFFER: usize = 1 << 18;

/// Told how many bytes of the (compressed) files were read, now and then.
pub type Progress<'a> = &'a dyn Fn(u64);

/// Opens a file and hands each stream in it (one; for a zip one a member) to `read`.
///
/// # Errors
/// What `read` returns; [`ImportError::Read`] when the file cannot be opened.
pub fn each_member(
    path: &Path,
    progress: Progress<'_>,
    read: &mut dyn FnMut(Input<'_>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let name = path.display().to_string();
    let failed = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::Error::new(
            io::ErrorKind::IsADirectory,
            "is a directory; name its files",
        )));
    }
    let mut magic = [0u8; 4];
    let mut have = 0;
    while have < magic.len() {
        match file.read(&mut magic[have..]).map_err(failed)? {
            0 => break,
            n => have += n,
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let fault = Rc::new(Cell::new(false));
    let counted = Counted {
        file,
        progress,
        fault: fault.clone(),
    };
    let result = match magic {
        [0x1f, 0x8b, ..] => read_from(flate2::read::MultiGzDecoder::new(counted), &name, read),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = zstd::stream::read::Decoder::new(counted).map_err(failed)?;
            read_from(decoder, &name, read)
        }
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => read_zip(counted, &name, read),
        _ => read_from(counted, &name, read),
    };
    // A fault of the disk reaches the parser through the decoder as damage; say which of the two it was.
    match result {
        Err(ImportError::Bad {
            problem: Problem::Damaged(what),
            ..
        }) if fault.get() => Err(failed(io::Error::other(what))),
        other => other,
    }
}

fn read_from(
    reader: impl Read,
    name: &str,
    read: &mut dyn FnMut(Input<'_>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    read(Input {
        name,
        reader: &mut reader,
    })
}

fn read_zip(
    file: Counted<'_>,
    name: &str,
    read: &mut dyn FnMut(Input<'_>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let damaged = |error: zip::result::ZipError| ImportError::Bad {
        place: Place {
            file: name.to_owned(),
            line: 0,
        },
        problem: Problem::Damaged(error.to_string()),
    };
    let mut archive = zip::ZipArchive::new(BufReader::with_capacity(BUFFER, file)).map_err(damaged)?;
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(damaged)?;
        if member.is_dir() {
            continue;
        }
        let member_name = format!("{name}:{}", member.name());
        read_from(member, &member_name, read)?;
    }
    Ok(())
}

/// Counts bytes for the progress bar, and remembers whether the system itself failed.
struct Counted<'a> {
    file: File,
    progress: Progress<'a>,
    fault: Rc<Cell<bool>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buf).inspect_err(|_| self.fault.set(true))?;
        (self.progress)(count as u64);
        Ok(count)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.file.seek(pos)
    }
}

/// Lines of an input, without their ends, in one reused buffer.
pub struct Lines<'a> {
    name: &'a str,
    reader: &'a mut dyn BufRead,
    buffer: Vec<u8>,
    number: u64,
}

impl<'a> Lines<'a> {
    /// Starts before the first line.
    pub fn new(input: Input<'a>) -> Lines<'a> {
        Lines {
            name: input.name,
            reader: input.reader,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// Moves to the next line; `false` at the end. A byte-order mark before the first line is skipped.
    ///
    /// # Errors
    /// When the compressed stream is damaged or cut short, or a line is absurdly long.
    pub fn advance(&mut self) -> Result<bool, ImportError> {
        self.buffer.clear();
        let mut limited = (&mut *self.reader).take(LONGEST_LINE as u64);
        let count = limited.read_until(b'\n', &mut self.buffer);
        self.number += 1;
        let count = count.map_err(|error| self.bad(Problem::Damaged(error.to_string())))?;
        if count == 0 {
            return Ok(false);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
        } else if count == LONGEST_LINE {
            return Err(self.bad(Problem::LineTooLong(LONGEST_LINE)));
        }
        if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.buffer.drain(..3);
        }
        Ok(true)
    }

    /// The line.
    pub fn line(&self) -> &[u8] {
        &self.buffer
    }

    /// The line as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, ImportError> {
        std::str::from_utf8(&self.buffer).map_err(|error| self.bad(Problem::Utf8(error.valid_up_to())))
    }

    /// Number of the line, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where we are.
    pub fn place(&self) -> Place {
        Place {
            file: self.name.to_owned(),
            line: self.number,
        }
    }

    /// An error at this line.
    pub fn bad(&self, problem: Problem) -> ImportError {
        ImportError::Bad {
            place: self.place(),
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines_of(path: &Path) -> Result<Vec<(String, String)>, ImportError> {
        let mut found = Vec::new();
        each_member(path, &|_| (), &mut |input| {
            let name = input.name.rsplit('/').next().unwrap_or_default().to_owned();
            let mut lines = Lines::new(input);
            while lines.advance()? {
                found.push((name.clone(), lines.text()?.to_owned()));
            }
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn plain_gzip_zstd_and_zip_read_alike() {
        let dir = tempfile::tempdir().unwrap();
        let text = b"\xef\xbb\xbfa,b\r\n1,2\n3,4";
        let want: Vec<String> = ["a,b", "1,2", "3,4"].map(str::to_owned).to_vec();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, text).unwrap();
        let gz = dir.path().join("gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        let gz_bytes = encoder.finish().unwrap();
        std::fs::write(&gz, &gz_bytes).unwrap();
        let zst = dir.path().join("zst");
        std::fs::write(&zst, zstd::bulk::compress(text, 1).unwrap()).unwrap();
        let zip = dir.path().join("zip");
        let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
        writer
            .start_file("m.csv", zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(text).unwrap();
        writer.finish().unwrap();
        for path in [&plain, &gz, &zst, &zip] {
            let lines: Vec<String> = lines_of(path).unwrap().into_iter().map(|(_, line)| line).collect();
            assert_eq!(lines, want, "{}", path.display());
        }
        assert_eq!(lines_of(&zip).unwrap()[0].0, "zip:m.csv");

        // Cut at any byte, a gzip file is damaged, never merely shorter.
        for cut in 4..gz_bytes.len() {
            std::fs::write(&gz, &gz_bytes[..cut]).unwrap();
            let error = lines_of(&gz).unwrap_err().to_string();
            assert!(error.contains("damaged or cut short"), "{cut}: {error}");
        }
        assert!(matches!(lines_of(dir.path()), Err(ImportError::Read { .. })));
        assert!(matches!(
            lines_of(&dir.path().join("absent")),
            Err(ImportError::Read { .. })
        ));
    }
}
