//! The operating system's randomness: for an address that nobody guesses, and for ids that never meet.

use std::io;

/// `bytes` random bytes as lowercase hexadecimal digits, two a byte.
pub fn hex(bytes: usize) -> io::Result<String> {
    let mut buffer = vec![0; bytes];
    // The TLS library brings the operating system's generator along; nothing else here needs one.
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut buffer)
        .map_err(|_| io::Error::other("the operating system gave no random bytes"))?;
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
