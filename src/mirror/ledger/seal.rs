//! The digest of a JSON object at its beginning: it shows a change that another program or a damaged disk made. It does not
//! prove who wrote the text.

use serde::Serialize;

use crate::digest::Sha256;

/// How a sealed text begins.
pub(in crate::mirror) struct Seal {
    /// The text before the digest.
    before: &'static [u8],
    /// The text after the digest; the content follows. From its comma on, it takes the place of the object's beginning.
    after: &'static [u8],
}

/// The seal of a record, which is one line.
pub(in crate::mirror) const RECORD: Seal = Seal { before: br#"{"sha256":""#, after: br#"","# };

/// The seal of a text with one field a line.
pub(in crate::mirror) const INDENTED: Seal = Seal { before: b"{\n  \"sha256\": \"", after: b"\",\n" };

impl Seal {
    /// The text with the fields that `write` appends as an object, and the digest of its content. The text is written once,
    /// because it can have many megabytes.
    pub(in crate::mirror) fn apply(
        &self,
        write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> (Vec<u8>, Sha256) {
        let placeholder = [b'0'; 64];
        let mut text = [self.before, &placeholder, self.after].concat();
        let content = text.len();
        // The object's brace takes the place of the comma, and becomes one again.
        let brace = content + 1 - self.after.len();
        text.truncate(brace);
        write(&mut text).expect("the fields are plain data with text for keys");
        text[brace] = b',';
        let sha256 = Sha256::of(&text[content..]);
        text[self.before.len()..][..placeholder.len()].copy_from_slice(sha256.to_string().as_bytes());
        (text, sha256)
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

/// The text of a record's file with these fields, and the digest of its content.
pub(super) fn seal_record(fields: &impl Serialize) -> (Vec<u8>, Sha256) {
    RECORD.apply(|text| serde_json::to_writer(text, fields))
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
        let (record, of_record) = seal_record(&Fields { a: 1 });
        let (indented, of_indented) = INDENTED.apply(|text| serde_json::to_writer_pretty(text, &Fields { a: 1 }));
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
