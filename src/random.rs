//! Random bytes of the operating system: for a secret address, and for unique IDs.

use std::io;

/// Returns `bytes` random bytes as lowercase hexadecimal digits, two per byte.
pub fn hex(bytes: usize) -> io::Result<String> {
    let mut buffer = vec![0; bytes];
    // The TLS library already includes the operating system's generator, so no other dependency is needed.
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut buffer)
        .map_err(|_| io::Error::other("the operating system returned no random bytes"))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_have_the_requested_length_and_differ() {
        let one = super::hex(16).expect("randomness");
        assert_eq!(one.len(), 32);
        assert_ne!(one, super::hex(16).expect("randomness"));
    }
}
