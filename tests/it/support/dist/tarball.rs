//! Component archives as upstream makes them: the third layout of rust-installer, gzipped and as xz.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use tar::{Builder, EntryType, Header};

/// A file of a component: path, content, and whether it may be run.
pub type ComponentEntry = (String, Vec<u8>, bool);

/// The tar file of one component: the folder `top`, in it the component `name` with its files.
pub fn tarball(top: &str, name: &str, files: &[ComponentEntry]) -> Vec<u8> {
    let listed: String = files.iter().map(|(path, ..)| format!("file:{path}\n")).collect();
    let mut entries = vec![
        ("rust-installer-version".to_owned(), b"3\n".to_vec(), false),
        ("components".to_owned(), format!("{name}\n").into_bytes(), false),
        (format!("{name}/manifest.in"), listed.into_bytes(), false),
    ];
    entries.extend(files.iter().map(|(path, content, runs)| (format!("{name}/{path}"), content.clone(), *runs)));
    let mut tar = Builder::new(Vec::new());
    // rustup warns of each folder that does not come before its files.
    let mut folders = BTreeSet::new();
    for (path, ..) in &entries {
        let path = format!("{top}/{path}");
        folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    }
    for folder in folders {
        append(&mut tar, &folder, EntryType::Directory, 0o755, &[]);
    }
    for (path, content, runs) in &entries {
        append(&mut tar, &format!("{top}/{path}"), EntryType::Regular, if *runs { 0o755 } else { 0o644 }, content);
    }
    tar.into_inner().unwrap()
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content).unwrap();
}

/// `plain` gzipped.
pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// `plain` as a valid .xz stream of one block that stores and does not compress (LZMA2 has such chunks), so that no
/// encoder is needed. The layout is that of the .xz file format, version 1.1.
pub fn xz(plain: &[u8]) -> Vec<u8> {
    // The stream's flags: its check is a CRC32.
    let flags = [0, 1];
    let mut xz = b"\xfd7zXZ\0".to_vec();
    xz.extend(flags);
    xz.extend(crc32(&flags));
    // The block's header: 12 bytes in all, one filter, LZMA2 (0x21) with one byte of properties (a dictionary of 64 KiB).
    let header = [2, 0, 0x21, 1, 8, 0, 0, 0];
    let start = xz.len();
    xz.extend(header);
    xz.extend(crc32(&header));
    for (at, chunk) in plain.chunks(1 << 16).enumerate() {
        // A stored chunk; the first one also empties the dictionary.
        xz.push(if at == 0 { 1 } else { 2 });
        xz.extend(u16::try_from(chunk.len() - 1).unwrap().to_be_bytes());
        xz.extend(chunk);
    }
    xz.push(0);
    let unpadded = xz.len() - start + 4;
    pad_to_four(&mut xz, start);
    xz.extend(crc32(plain));
    let start = xz.len();
    xz.extend([0, 1]);
    xz.extend(multibyte_integer(unpadded));
    xz.extend(multibyte_integer(plain.len()));
    pad_to_four(&mut xz, start);
    let sum = crc32(&xz[start..]);
    xz.extend(sum);
    let length = u32::try_from((xz.len() - start) / 4 - 1).unwrap();
    let mut footer = length.to_le_bytes().to_vec();
    footer.extend(flags);
    xz.extend(crc32(&footer));
    xz.extend(footer);
    xz.extend(b"YZ");
    xz
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// Zeros up to the next multiple of four from `start`.
fn pad_to_four(bytes: &mut Vec<u8>, start: usize) {
    while !(bytes.len() - start).is_multiple_of(4) {
        bytes.push(0);
    }
}

/// Seven bits a byte, the lowest first.
fn multibyte_integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return bytes;
        }
    }
}
