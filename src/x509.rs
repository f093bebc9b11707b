//! Fields of a certificate that the TLS library does not show, read from its DER form (RFC 5280, 4.1): the version, the
//! validity period, and for which purposes the certificate may be used. Other fields are skipped.

use jiff::Timestamp;

use crate::units::format_time;

/// DER tags.
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const ISSUER_UNIQUE_ID: u8 = 0x81;
const SUBJECT_UNIQUE_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// Identifiers of extensions (RFC 5280, 4.2.1).
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// The purpose `id-kp-serverAuth` of the extended key usage.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// Key usages of TLS servers, as bits: digitalSignature, keyEncipherment and keyAgreement. OpenSSL requires one of them.
const SERVER_KEY_USAGES: u8 = 0x80 | 0x20 | 0x08;

/// The validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: Timestamp,
    /// The last moment.
    pub to: Timestamp,
}

impl Validity {
    /// The validity period of a certificate; `None` if it cannot be read.
    pub fn of(der: &[u8]) -> Option<Validity> {
        let (dates, _) = dates_and_rest(der)?;
        let (from, rest) = time(dates)?;
        let (to, _) = time(rest)?;
        Some(Validity { from, to })
    }

    /// Why clients reject the certificate at this time; `None` if it is within the period.
    pub fn fault(&self, now: Timestamp) -> Option<String> {
        let (from, to, now_shown) = (format_time(self.from), format_time(self.to), format_time(now));
        if now > self.to {
            Some(format!("the TLS certificate expired at {to}, and it is {now_shown} now"))
        } else if now < self.from {
            Some(format!("the TLS certificate is not valid before {from}, and it is {now_shown} now"))
        } else {
            None
        }
    }
}

/// Whether the certificate is older than version 3. Only the versions after 1 are written (RFC 5280, 4.1.2.1).
pub fn is_before_version_3(der: &[u8]) -> bool {
    let signed = element(der, SEQUENCE).and_then(|(certificate, _)| element(certificate, SEQUENCE));
    let Some((signed, _)) = signed else { return false };
    match element(signed, VERSION).and_then(|(version, _)| element(version, INTEGER)) {
        Some((number, _)) => matches!(number, [0 | 1]),
        None => element(signed, INTEGER).is_some(),
    }
}

/// Whether the certificate says that it belongs to a certificate authority (`CA:TRUE`). `false` if it cannot be read.
pub fn is_authority(der: &[u8]) -> bool {
    let constraints = extensions(der).and_then(|found| found.basic_constraints);
    let fields = constraints.and_then(|value| element(value, SEQUENCE));
    fields.and_then(|(fields, _)| element(fields, BOOLEAN)).is_some_and(|(flag, _)| flag != [0])
}

/// Whether the certificate may identify a TLS server: its extensions about the use of the key permit it, or it has none.
/// `None` if it cannot be read.
pub fn may_identify_server(der: &[u8]) -> Option<bool> {
    let Extensions { key_usage, extended_key_usage, .. } = extensions(der)?;
    if let Some(value) = key_usage {
        let (bits, _) = element(value, BIT_STRING)?;
        // The first byte is the number of unused bits.
        if bits.get(1).is_none_or(|bits| bits & SERVER_KEY_USAGES == 0) {
            return Some(false);
        }
    }
    let Some(value) = extended_key_usage else { return Some(true) };
    let (mut purposes, _) = element(value, SEQUENCE)?;
    while !purposes.is_empty() {
        let (purpose, rest) = element(purposes, OBJECT_IDENTIFIER)?;
        if purpose == SERVER_AUTH {
            return Some(true);
        }
        purposes = rest;
    }
    Some(false)
}

/// The values of the extensions that are read here.
#[derive(Default)]
struct Extensions<'c> {
    basic_constraints: Option<&'c [u8]>,
    key_usage: Option<&'c [u8]>,
    extended_key_usage: Option<&'c [u8]>,
}

fn extensions(der: &[u8]) -> Option<Extensions<'_>> {
    let (_, rest) = dates_and_rest(der)?;
    let (_subject, rest) = element(rest, SEQUENCE)?;
    let (_key, mut rest) = element(rest, SEQUENCE)?;
    for unique_id in [ISSUER_UNIQUE_ID, SUBJECT_UNIQUE_ID] {
        rest = element(rest, unique_id).map_or(rest, |(_, rest)| rest);
    }
    let mut found = Extensions::default();
    if rest.is_empty() {
        return Some(found);
    }
    let (list, _) = element(rest, EXTENSIONS)?;
    let (mut list, _) = element(list, SEQUENCE)?;
    while !list.is_empty() {
        let (extension, rest) = element(list, SEQUENCE)?;
        list = rest;
        let (id, value) = element(extension, OBJECT_IDENTIFIER)?;
        let value = element(value, BOOLEAN).map_or(value, |(_is_critical, rest)| rest);
        let (value, _) = element(value, OCTET_STRING)?;
        match id {
            BASIC_CONSTRAINTS => found.basic_constraints = Some(value),
            KEY_USAGE => found.key_usage = Some(value),
            EXTENDED_KEY_USAGE => found.extended_key_usage = Some(value),
            _ => {}
        }
    }
    Some(found)
}

/// The validity dates, and the fields after them.
fn dates_and_rest(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (signed, _) = element(certificate, SEQUENCE)?;
    let rest = element(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    element(rest, SEQUENCE)
}

/// The content of the element with this tag at the start of `bytes`, and the rest.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // The long form: this many bytes of the length follow.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0usize, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}

/// The time at the start of `bytes`, and the rest.
fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest, century) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => {
            let year: u8 = str::from_utf8(text.get(..2)?).ok()?.parse().ok()?;
            (text, rest, if year < 50 { "20" } else { "19" })
        }
        None => element(bytes, GENERALIZED_TIME).map(|(text, rest)| (text, rest, ""))?,
    };
    let text = format!("{century}{}", str::from_utf8(text).ok()?);
    let digits =
        text.strip_suffix('Z').filter(|digits| digits.len() == 14 && digits.bytes().all(|one| one.is_ascii_digit()))?;
    let part = |from: usize, to: usize| digits.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    // This time means "no expiry" (RFC 5280, 4.1.2.5), and is beyond the supported range.
    let time = match digits {
        "99991231235959" => Timestamp::MAX,
        _ => format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()?,
    };
    Some((time, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    /// `openssl x509 -req -signkey KEY` without an extension file.
    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBIzCBywIUbXTYPBpyAnDc5+SsbJoCjRB3D/YwCgYIKoZIzj0EAwIwFDESMBAG\n\
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDA1MzAyMVoYDzIxMjYxMTA2MDUzMDIx\n\
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AATFt8cFksqDLr9/75lBrWyi7mE0zzO5OSUb5plgRCxNz6ypNUzfYPaGT1fmmL0N\n\
p5GL7Nko0kcKkT9Hz9P5UDZ2MAoGCCqGSM49BAMCA0cAMEQCIC6Ruw9kcBBJ8RTz\n\
ltPzZWaxv+3CWSwRdSS7yUTYUgduAiAKaOSdvpyersgkNrX9tHS/0a3VPH5/9IM8\n\
DEwk70eJpA==\n\
-----END CERTIFICATE-----\n";

    #[test]
    fn old_certificate_versions_are_recognized() {
        let old = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).expect("a certificate");
        assert!(is_before_version_3(&old) && Validity::of(&old).is_some());
        let new = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate").cert;
        assert!(!is_before_version_3(new.der()));
        assert!(!is_before_version_3(b"") && !is_before_version_3(b"no certificate"));
    }

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

    #[test]
    fn purposes_are_read() {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign};
        let of = |is_ca: bool, usages: &[KeyUsagePurpose], purposes: &[ExtendedKeyUsagePurpose]| {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
            params.key_usages = usages.to_vec();
            params.extended_key_usages = purposes.to_vec();
            let der = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec();
            for length in 0..der.len() {
                let _no_panic = (is_authority(&der[..length]), may_identify_server(&der[..length]));
            }
            assert_eq!(may_identify_server(&der[..der.len() / 2]), None);
            (is_authority(&der), may_identify_server(&der))
        };
        assert_eq!(of(false, &[], &[]), (false, Some(true)));
        assert_eq!(of(true, &[], &[]), (true, Some(true)));
        assert_eq!(of(true, &[KeyCertSign, DigitalSignature], &[]), (true, Some(true)));
        assert_eq!(of(true, &[KeyCertSign, CrlSign], &[]), (true, Some(false)));
        assert_eq!(of(false, &[], &[ClientAuth, ServerAuth]), (false, Some(true)));
        assert_eq!(of(false, &[], &[ClientAuth]), (false, Some(false)));
        assert_eq!(of(false, &[KeyCertSign], &[ServerAuth]), (false, Some(false)));
        assert_eq!((is_authority(b""), may_identify_server(b"")), (false, None));
    }

    fn certificate(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let der = certificate((2020, 1, 2), (2049, 12, 31));
        let expected = Validity { from: at("2020-01-02T00:00:00Z"), to: at("2049-12-31T00:00:00Z") };
        assert_eq!(Validity::of(&der), Some(expected));
        let later = certificate((1975, 6, 7), (2050, 1, 1));
        let expected = Validity { from: at("1975-06-07T00:00:00Z"), to: at("2050-01-01T00:00:00Z") };
        assert_eq!(Validity::of(&later), Some(expected));
    }

    #[test]
    fn a_certificate_that_is_cut_or_damaged_has_no_dates_and_causes_no_panic() {
        let der = certificate((2020, 1, 2), (2049, 12, 31));
        for length in 0..100 {
            assert_eq!(Validity::of(&der[..length]), None, "{length}");
        }
        for at in 0..200.min(der.len()) {
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = der.clone();
                damaged[at] = value;
                let _no_panic = Validity::of(&damaged);
            }
        }
        let read = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).expect("short");
            let bytes = [&[tag, length], text.as_bytes()].concat();
            time(&bytes).map(|(time, _)| time)
        };
        assert_eq!(read(GENERALIZED_TIME, "99991231235959Z"), Some(Timestamp::MAX));
        assert_eq!(read(UTC_TIME, "500101000000Z"), Some(at("1950-01-01T00:00:00Z")));
        for bad in ["", "Z", "20200101000000", "2020010100000Z", "20201301000000Z", "+0200101000000Z"] {
            assert_eq!(read(GENERALIZED_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn the_fault_names_the_dates() {
        let validity = Validity { from: at("2026-01-01T00:00:00Z"), to: at("2026-12-31T00:00:00Z") };
        assert_eq!(validity.fault(at("2026-06-01T00:00:00Z")), None);
        assert_eq!(
            validity.fault(at("2027-01-02T00:00:00Z")).as_deref(),
            Some("the TLS certificate expired at 2026-12-31T00:00:00Z, and it is 2027-01-02T00:00:00Z now")
        );
        assert_eq!(
            validity.fault(at("2025-12-31T00:00:00Z")).as_deref(),
            Some("the TLS certificate is not valid before 2026-01-01T00:00:00Z, and it is 2025-12-31T00:00:00Z now")
        );
    }
}
