//! Reads a whole file into memory, up to a size limit. A file that is longer is an error, and never read in part.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::diagnostics::ProblemList;
use crate::durable;
use crate::units::approximate_size;

/// The bytes of the file at `path`; `None` if there are more than `max`.
pub fn read_at_most(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

/// Number of bytes at the start of a file that show whether it is a binary file.
const BINARY_CHECK: usize = 1024;

/// The first bytes of a binary file; `None` for a text. A text in UTF-16 has NULs too, and begins with its mark.
fn binary_start(bytes: &[u8]) -> Option<Vec<u8>> {
    let start = bytes.get(..BINARY_CHECK).unwrap_or(bytes);
    let is_utf16 = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    (start.contains(&0) && !is_utf16).then(|| start.to_owned())
}

/// The maximum size of a kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimit {
    /// Bytes.
    pub max: u64,
    /// The kind of file, with its article: `a depends.toml`.
    pub kind: &'static str,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system cannot read it.
    #[error("could not read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is larger than the limit.
    #[error("`{}` is larger than {}, the limit for {}", path.display(), approximate_size(limit.max, 0), limit.kind)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: SizeLimit,
    },
    /// It is a binary file.
    #[error("`{}` is a binary file, not {}", path.display(), limit.kind)]
    Binary {
        /// The file.
        path: PathBuf,
        /// The expected kind of file.
        limit: SizeLimit,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// It is not UTF-8.
    #[error("{}", list.draw(path))]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The position of the first invalid byte. Lines with credentials are not shown.
        list: ProblemList,
    },
}

impl Error {
    /// The kind of the system's error; `None` if the file was readable.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Io { source, .. } => Some(source.kind()),
            Error::TooLarge { .. } | Error::Binary { .. } | Error::NotUtf8 { .. } => None,
        }
    }
}

impl SizeLimit {
    /// The bytes of the file at `path`. Waits if it is a pipe.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`].
    pub fn read(self, path: &Path) -> Result<Vec<u8>, Error> {
        match read_at_most(path, self.max) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Error::TooLarge { path: path.to_owned(), limit: self }),
            Err(source) => Err(Error::Io { path: path.to_owned(), source }),
        }
    }

    /// The text of the file at `path`.
    ///
    /// # Errors
    /// Everything in [`Error`].
    pub fn read_text(self, path: &Path) -> Result<String, Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut file).take(BINARY_CHECK as u64).read_to_end(&mut bytes).map_err(failed)?;
        if let Some(start) = binary_start(&bytes) {
            return Err(Error::Binary { path: path.to_owned(), limit: self, start });
        }
        let rest = self.max.saturating_add(1).saturating_sub(bytes.len() as u64);
        file.take(rest).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > self.max {
            return Err(Error::TooLarge { path: path.to_owned(), limit: self });
        }
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..valid]);
            let message = "the next byte is not UTF-8; save the file as UTF-8";
            Error::NotUtf8 { path: path.to_owned(), list: ProblemList::single(&text, valid..valid, message) }
        })
    }

    /// The bytes of the file at `path`, which must be a regular file: opening a pipe would wait for its writer.
    ///
    /// # Errors
    /// As [`SizeLimit::read`].
    pub fn read_regular(self, path: &Path) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a regular file")));
        }
        self.read(path)
    }

    /// Refuses a text that no file of this kind may have.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn check(self, text: &str, path: &Path) -> Result<(), Error> {
        match text.len() as u64 <= self.max {
            true => Ok(()),
            false => Err(Error::TooLarge { path: path.to_owned(), limit: self }),
        }
    }
}

/// The content of a file; `None` if the file does not exist.
///
/// # Errors
/// Every other error.
pub fn if_exists<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Error::Io { path, source }) => durable::if_exists(Err(source)).map_err(|source| Error::Io { path, source }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: SizeLimit = SizeLimit { max: 8, kind: "a list" };

    #[test]
    fn a_file_is_read_up_to_its_limit_and_never_in_part() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("list");
        for (bytes, fits) in [(0, true), (7, true), (8, true), (9, false), (100_000, false)] {
            let text = "x".repeat(bytes);
            fs::write(&path, &text).expect("write");
            assert_eq!(read_at_most(&path, 8).expect("read").is_some(), fits, "{bytes}");
            assert_eq!(LIMIT.read_text(&path).ok(), fits.then(|| text.clone()), "{bytes}");
            assert_eq!(LIMIT.check(&text, &path).is_ok(), fits, "{bytes}");
        }
        let error = LIMIT.read(&path).expect_err("too large").to_string();
        assert_eq!(error, format!("`{}` is larger than 8 B, the limit for a list", path.display()));
        assert_eq!(read_at_most(&path, u64::MAX).expect("read").map(|bytes| bytes.len()), Some(100_000));
    }

    #[test]
    fn the_position_of_an_invalid_byte_is_shown() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("list");
        fs::write(&path, b"a\nb\xff").expect("write");
        assert_eq!(LIMIT.read(&path).expect("bytes are not checked"), b"a\nb\xff");
        let error = LIMIT.read_text(&path).expect_err("not UTF-8");
        assert!(matches!(error, Error::NotUtf8 { .. }) && error.to_string().contains("list:2:2\n"), "{error}");
    }

    #[test]
    fn a_binary_file_is_named_as_such_whatever_its_size() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("list");
        for (bytes, is_binary) in
            [(&b"\x89FMB\0"[..], true), (b"\x89FMB\0 and much more", true), (b"a\0", true), (b"\xff\xfea\0", false)]
        {
            fs::write(&path, bytes).expect("write");
            let error = LIMIT.read_text(&path).expect_err("no text");
            assert_eq!(matches!(&error, Error::Binary { start, .. } if *start == bytes), is_binary, "{error}");
        }
        fs::write(&path, [&b"text"[..], &[0; 2000]].concat()).expect("write");
        let error = LIMIT.read_text(&path).expect_err("no text").to_string();
        assert_eq!(error, format!("`{}` is a binary file, not a list", path.display()));
    }

    #[test]
    fn only_a_missing_file_counts_as_absent() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("list");
        assert_eq!(if_exists(LIMIT.read(&path)).expect("absent"), None);
        assert!(if_exists(LIMIT.read(folder.path())).is_err(), "a folder");
        fs::write(&path, "123456789").expect("write");
        assert!(matches!(if_exists(LIMIT.read(&path)), Err(Error::TooLarge { .. })));
        fs::write(&path, "1").expect("write");
        assert_eq!(if_exists(LIMIT.read_regular(&path)).expect("read"), Some(b"1".to_vec()));
        assert!(LIMIT.read_regular(folder.path()).is_err(), "a folder");
    }
}
