//! A plain HTTP client: one request a connection, the answer as it came.
//!
//! ```ignore
//! assert_eq!(get(&format!("{}/index/config.json", serving.url())).status, 200);
//! ```

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct WebResponse {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// Asks for `http://HOST:PORT/…`.
#[track_caller]
pub fn get(url: &str) -> WebResponse {
    send_request("GET", url, &[])
}

/// The same with another method, and with further headers; a header of one's own replaces the usual one.
#[track_caller]
pub fn send_request(method: &str, url: &str, headers: &[(&str, &str)]) -> WebResponse {
    send_request_with_body(method, url, headers, "")
}

/// The same with a body, whose length is added.
#[track_caller]
pub fn send_request_with_body(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> WebResponse {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (host, path) = rest.split_at(rest.find('/').expect("a path"));
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let own: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let named = headers.iter().any(|(name, _)| *name == "Host");
    let host = if named { String::new() } else { format!("Host: {host}\r\n") };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(stream, "{method} {path} HTTP/1.1\r\n{host}{own}{length}Connection: close\r\n\r\n{body}").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    WebResponse { status, head, body: bytes[end + 4..].to_vec() }
}
