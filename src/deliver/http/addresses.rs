//! The addresses that requests may be sent to, so that a target cannot make the service send
//! requests to internal addresses that only it can reach.
//!
//! The check uses the actual address at the time of sending: for a literal, the one that the URL
//! parser understood (`0x7f.1` is 127.0.0.1); for a name, every address that the resolver returned.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The allowed addresses in addition to public ones on the usual ports.
#[derive(Clone, Debug)]
pub struct AddressPolicy {
    /// Private ranges that are allowed, on any port.
    private: Vec<IpNet>,
    /// Ports that are allowed for public addresses.
    ports: Vec<u16>,
}

/// The reason why an address is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForbiddenAddress {
    #[error("{address} is {what}, which is never sent to")]
    Never { address: IpAddr, what: &'static str },
    #[error("{address} is {what}: to allow it, use `--allow-private-targets`")]
    Private { address: IpAddr, what: &'static str },
    #[error(
        "public addresses are sent to on the ports {ports} only: allow more with \
         `--target-ports`"
    )]
    Port { ports: String },
}

/// Ranges from IANA's special-purpose registries and of cloud providers that can never be allowed:
/// they belong to the machine's own environment, such as the metadata service that hands out its
/// credentials.
const NEVER: [(&str, &str); 11] = [
    ("0.0.0.0/8", "this very host"),
    ("169.254.0.0/16", "link-local"),
    ("100.100.100.200/32", "a metadata service"),
    ("168.63.129.16/32", "a metadata service"),
    ("192.0.0.192/32", "a metadata service"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "this very host"),
    ("fe80::/10", "link-local"),
    ("fd00:ec2::/32", "a metadata service"),
    ("ff00::/8", "multicast"),
];

/// Ranges of the same registries that are not public.
const NOT_PUBLIC: [(&str, &str); 26] = [
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by customers of a carrier"),
    ("127.0.0.0/8", "loopback"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved for protocols"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a relay of 6to4"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("240.0.0.0/4", "reserved"),
    ("::1/128", "loopback"),
    ("::/96", "an outdated form of an IPv4 address"),
    ("64:ff9b::/96", "a translation to IPv4"),
    ("64:ff9b:1::/48", "a translation to IPv4"),
    ("100::/64", "for discarding"),
    ("2001::/23", "reserved for protocols"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "for documentation"),
    ("5f00::/16", "for segment routing"),
    ("fc00::/7", "private"),
    ("fec0::/10", "private"),
    ("2001:10::/28", "for overlays"),
    ("2001:20::/28", "for overlays"),
];

const WEB_PORTS: [u16; 3] = [80, 443, 8_443];

impl AddressPolicy {
    pub fn new(private: Vec<IpNet>, ports: Vec<u16>) -> Self {
        Self { private, ports }
    }

    /// Allows only public addresses on the usual ports.
    pub fn public_only() -> Self {
        Self::new(Vec::new(), WEB_PORTS.to_vec())
    }

    pub(crate) fn check(&self, address: IpAddr, port: u16) -> Result<(), ForbiddenAddress> {
        self.check_address(address)?;
        if self.is_web_port(port) || self.is_opened(address.to_canonical()) {
            Ok(())
        } else {
            Err(self.refused_port())
        }
    }

    /// Checks whether an address is allowed on any port.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let address = address.to_canonical();
        if let Some(what) = range_of(address, &NEVER) {
            return Err(ForbiddenAddress::Never { address, what });
        }
        let opened = self.is_opened(address);
        match range_of(address, &NOT_PUBLIC) {
            Some(what) if !opened => Err(ForbiddenAddress::Private { address, what }),
            // An allowed translation range does not allow a private address behind it.
            _ => translated(address).map_or(Ok(()), |inner| self.check_address(inner)),
        }
    }

    /// Returns whether this address is explicitly allowed, on any port.
    pub(crate) fn is_opened(&self, address: IpAddr) -> bool {
        self.private.iter().any(|range| range.contains(&address))
    }

    pub(crate) fn is_web_port(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    pub(crate) fn refused_port(&self) -> ForbiddenAddress {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        ForbiddenAddress::Port {
            ports: ports.join(", "),
        }
    }
}

fn range_of(address: IpAddr, ranges: &[(&str, &'static str)]) -> Option<&'static str> {
    let found = ranges
        .iter()
        .find(|(range, _)| parsed(range).contains(&address));
    found.map(|(_, what)| *what)
}

#[expect(
    clippy::expect_used,
    reason = "our own constants, all of them parsed by a test"
)]
fn parsed(range: &str) -> IpNet {
    range.parse().expect("a range")
}

/// Returns the IPv4 address that a gateway sends to instead.
fn translated(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let octets = address.octets();
    let at = |range: &str| parsed(range).contains(&IpAddr::V6(address));
    let inner = |from: usize| -> Option<[u8; 4]> { octets.get(from..from + 4)?.try_into().ok() };
    let inner = if at("64:ff9b::/96") || is_compatible(address) {
        inner(12)
    } else if at("2002::/16") {
        inner(2)
    } else {
        None
    };
    inner.map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// Recognises an obsolete IPv4-compatible address such as `::1.2.3.4`; `::1` is not one.
fn is_compatible(address: Ipv6Addr) -> bool {
    address.octets().starts_with(&[0; 12]) && !address.is_loopback()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own_network() -> AddressPolicy {
        let ranges = ["10.0.0.0/8", "127.0.0.0/8", "fc00::/7"];
        AddressPolicy::new(ranges.map(parsed).to_vec(), WEB_PORTS.to_vec())
    }

    fn allows(policy: &AddressPolicy, address: &str) -> bool {
        policy.check(address.parse().unwrap(), 443).is_ok()
    }

    #[test]
    fn t26_no_range_that_is_not_public_is_sent_to() {
        let policy = AddressPolicy::public_only();
        for (range, what) in NEVER.iter().chain(&NOT_PUBLIC) {
            let range = parsed(range);
            for address in [range.network(), range.broadcast()] {
                let refused = policy.check(address, 443);
                assert!(refused.is_err(), "{address} is {what}");
            }
        }
        for address in [
            "93.184.215.14",
            "172.32.0.1",
            "100.63.255.255",
            "2606:4700::1111",
        ] {
            assert!(allows(&policy, address), "{address}");
        }
    }

    #[test]
    fn t26_an_ipv4_address_in_ipv6_clothes_is_recognised() {
        let policy = AddressPolicy::public_only();
        for address in [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ] {
            assert!(!allows(&policy, address), "{address}");
        }
        let translating = AddressPolicy::new(vec![parsed("64:ff9b::/96")], vec![443]);
        assert!(allows(&translating, "64:ff9b::5db8:d70e"));
        assert!(!allows(&translating, "64:ff9b::a9fe:a9fe"));
        assert!(!allows(&translating, "64:ff9b::a00:1"));
    }

    #[test]
    fn t26_metadata_services_are_not_opened_by_any_setting() {
        let everything = vec![parsed("0.0.0.0/0"), parsed("::/0")];
        let policy = AddressPolicy::new(everything, vec![443]);
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "100.100.100.200",
            "fd00:ec2::254",
            "fe80::1",
            "0.0.0.0",
            "::",
        ] {
            assert!(!allows(&policy, address), "{address}");
        }
        assert!(allows(&policy, "10.0.0.1"));
    }

    #[test]
    fn t26_public_addresses_are_reached_on_web_ports_and_opened_ones_on_any() {
        let policy = own_network();
        let check = |address: &str, port| policy.check(address.parse().unwrap(), port);
        assert_eq!(check("93.184.215.14", 8_443), Ok(()));
        assert_eq!(check("10.1.2.3", 9_093), Ok(()));
        assert_eq!(check("127.0.0.1", 25), Ok(()));
        assert_eq!(
            check("93.184.215.14", 25).unwrap_err().to_string(),
            "public addresses are sent to on the ports 80, 443, 8443 only: allow more with \
             `--target-ports`"
        );
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = AddressPolicy::public_only().check("10.0.0.7".parse().unwrap(), 443);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "10.0.0.7 is private: to allow it, use `--allow-private-targets`"
        );
    }

    proptest! {
        #[test]
        fn t26_whatever_is_opened_an_ipv4_address_and_its_ipv6_form_are_judged_alike(
            address: u32, opened: bool,
        ) {
            let policy = if opened {
                own_network()
            } else {
                AddressPolicy::public_only()
            };
            let address = Ipv4Addr::from(address);
            let mapped = IpAddr::V6(address.to_ipv6_mapped());
            prop_assert_eq!(policy.check(IpAddr::V4(address), 443), policy.check(mapped, 443));
        }
    }
}
