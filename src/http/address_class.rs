//! The network class of an IP address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network class of an IP address, by IANA's registries of special-purpose addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// Reachable over the internet.
    Public,
    /// 127.0.0.0/8 and `::1`: this machine.
    Loopback,
    /// 169.254.0.0/16 and `fe80::/10`: this network segment, including the metadata services of clouds.
    LinkLocal,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 (behind a provider's NAT), `fc00::/7`, `fec0::/10`.
    Private,
    /// 0.0.0.0/8 and `::`; connecting to them reaches this machine.
    Unspecified,
    /// Multicast, documentation, benchmarking, discarded and reserved addresses.
    Reserved,
}

impl AddressClass {
    /// The class of an address. An address that embeds an IPv4 address (mapped, compatible, NAT64, 6to4) has the class
    /// of that one.
    pub fn of(address: IpAddr) -> AddressClass {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressClass::Public => "public",
            AddressClass::Loopback => "loopback",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Private => "private",
            AddressClass::Unspecified => "unspecified",
            AddressClass::Reserved => "reserved",
        })
    }
}

fn of_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        [0, ..] => AddressClass::Unspecified,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => AddressClass::Private,
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => {
            AddressClass::Reserved
        }
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // IPv4-mapped, IPv4-translated (RFC 2765), and IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        // NAT64, with the well-known prefix and with a network-specific one.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => v4(high, low),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressClass::Private,
        // Global unicast, except Teredo, ORCHID, documentation and benchmarking.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Reserved,
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Reserved,
    }
}

/// A host that must not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockedHost {
    /// The network class of the host.
    pub(super) class: AddressClass,
    /// The host is a configured one whose address was public before.
    pub(super) was_public: bool,
}

impl fmt::Display for BlockedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host has a {} address", self.class)
    }
}

impl std::error::Error for BlockedHost {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_purpose_blocks_are_classified_up_to_their_edges() {
        use AddressClass::{LinkLocal, Loopback, Private, Public, Reserved, Unspecified};
        for (class, addresses) in [
            (
                Public,
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255",
            ),
            (
                Public,
                "169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.0.0 198.20.0.0 223.255.255.255",
            ),
            (Public, "2606:4700::1111 2a00::1 2001:4860::8888 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101::1"),
            (Loopback, "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::"),
            (LinkLocal, "169.254.0.0 169.254.169.254 169.254.255.255 fe80::1 febf:ffff::1 ::ffff:169.254.169.254"),
            (Private, "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 100.64.0.0"),
            (Private, "100.127.255.255 fc00::1 fdff::1 fec0::1 ::ffff:10.0.0.1 ::ffff:0:10.0.0.1 64:ff9b:1::10.0.0.1"),
            (Unspecified, "0.0.0.0 0.255.255.255 :: ::ffff:0.0.0.0"),
            (Reserved, "192.0.0.1 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1"),
            (Reserved, "255.255.255.255 ff02::1 2001::1 2001:db8::1 3fff::1 100::1 4000::1"),
        ] {
            for text in addresses.split(' ') {
                assert_eq!(AddressClass::of(text.parse().expect(text)), class, "{text}");
            }
        }
    }
}
