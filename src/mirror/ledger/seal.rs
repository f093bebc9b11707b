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
    /// Whether each field has a line of its own.
    is_indented: bool,
}

/// The seal of the first line of a record.
pub(in crate::mirror) const RECORD: Seal = Seal { before: br#"{"sha256":""#, after: br#"","#, is_indented: false };

/// The seal of a text with one field a line.
pub(in crate::mirror) const INDENTED: Seal =
    Seal { before: b"{\n  \"sha256\": \"", after: b"\",\n", is_indented: true };

impl Seal {
    /// The text with these fields, and the digest of its content.
    pub(in crate::mirror) fn render(&self, fields: &impl Serialize) -> (Vec<u8>, Sha256) {
        let object = match self.is_indented {
            true => serde_json::to_vec_pretty(fields),
            false => serde_json::to_vec(fields),
        };
        let object = object.expect("the fields are plain data with text for keys");
        // All of `after` but its quotation mark replaces the beginning of the object.
        let content = object.get(self.after.len() - 1..).unwrap_or_default();
        let sha256 = Sha256::of(content);
        ([self.before, sha256.to_string().as_bytes(), self.after, content].concat(), sha256)
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
