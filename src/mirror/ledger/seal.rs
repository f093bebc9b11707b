//! The digest of a JSON object at its beginning: it shows a change that another program or a damaged disk made. It does not
//! prove who wrote the text.

use std::io::{self, BufWriter, Cursor, Seek, SeekFrom, Write};

use serde::Serialize;

use crate::digest::{Hasher, Sha256};

/// Bytes of a text that are hashed and written at once.
const BUFFER_SIZE: usize = 64 << 10;

/// How a sealed text begins.
pub(in crate::mirror) struct Seal {
    /// The text before the digest.
    before: &'static [u8],
    /// The text after the digest; the content follows. From its comma on, it takes the place of the object's beginning.
    after: &'static [u8],
    /// Whether each field has a line of its own.
    is_indented: bool,
}

/// The seal of a record, which is one line.
pub(in crate::mirror) const RECORD: Seal = Seal { before: br#"{"sha256":""#, after: br#"","#, is_indented: false };

/// The seal of a text with one field a line.
pub(in crate::mirror) const INDENTED: Seal =
    Seal { before: b"{\n  \"sha256\": \"", after: b"\",\n", is_indented: true };

impl Seal {
    /// Writes these fields, and returns the digest of the content. A record can have many megabytes, so its text is never in
    /// memory as a whole.
    pub(in crate::mirror) fn write(&self, mut file: impl Write + Seek, fields: &impl Serialize) -> io::Result<Sha256> {
        file.write_all(&[self.before, &[b'0'; 64], self.after].concat())?;
        // All of `after` but its quotation mark replaces the beginning of the object.
        let content = ContentWriter { file, hasher: Hasher::new(), to_skip: self.after.len() - 1 };
        let mut content = BufWriter::with_capacity(BUFFER_SIZE, content);
        match self.is_indented {
            true => serde_json::to_writer_pretty(&mut content, fields)?,
            false => serde_json::to_writer(&mut content, fields)?,
        }
        let ContentWriter { mut file, hasher, .. } = content.into_inner().map_err(io::IntoInnerError::into_error)?;
        let sha256 = hasher.finish();
        file.seek(SeekFrom::Start(self.before.len() as u64))?;
        file.write_all(sha256.to_string().as_bytes())?;
        Ok(sha256)
    }

    /// The text with these fields, and the digest of its content.
    pub(in crate::mirror) fn render(&self, fields: &impl Serialize) -> (Vec<u8>, Sha256) {
        let mut text = Cursor::new(Vec::new());
        let sha256 = self.write(&mut text, fields).expect("the fields are plain data with text for keys");
        (text.into_inner(), sha256)
    }

    /// The digest that the text states, if it is the digest of the text's content.
    pub(in crate::mirror) fn check(&self, text: &[u8]) -> Option<Sha256> {
        let (digest, content) = self.split(text)?;
        (Sha256::of(content) == digest).then_some(digest)
    }

    /// The digest that the text states, and the text's content.
    pub(super) fn split<'t>(&self, text: &'t [u8]) -> Option<(Sha256, &'t [u8])> {
        let (digest, rest) = text.strip_prefix(self.before)?.split_at_checked(64)?;
        Some((str::from_utf8(digest).ok()?.parse().ok()?, rest.strip_prefix(self.after)?))
    }
}

/// Hashes and writes the text of an object without its beginning.
struct ContentWriter<W> {
    file: W,
    hasher: Hasher,
    /// Bytes of the beginning that are still to come.
    to_skip: usize,
}

impl<W: Write> Write for ContentWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (skipped, content) = bytes.split_at(self.to_skip.min(bytes.len()));
        self.file.write_all(content)?;
        self.hasher.update(content);
        self.to_skip -= skipped.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fields {
        a: u64,
    }

    #[test]
    fn a_sealed_text_is_json_and_states_its_digest() {
        let (record, of_record) = RECORD.render(&Fields { a: 1 });
        let (indented, of_indented) = INDENTED.render(&Fields { a: 1 });
        assert_eq!(record, format!(r#"{{"sha256":"{of_record}","a":1}}"#).as_bytes());
        assert_eq!(indented, format!("{{\n  \"sha256\": \"{of_indented}\",\n  \"a\": 1\n}}").as_bytes());
        for (seal, text, sha256) in [(RECORD, record, of_record), (INDENTED, indented, of_indented)] {
            assert_eq!(seal.check(&text), Some(sha256));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 1;
                assert_eq!(seal.check(&other), None, "byte {at}");
            }
            assert_eq!(seal.check(&text[..text.len() - 1]), None);
            assert_eq!(seal.check(br#"{"a":1}"#), None);
        }
    }
}
