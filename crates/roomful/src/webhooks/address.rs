//! Which addresses a receiver may have: public ones only, so that whoever may set a URL cannot make the server call its
//! neighbours (SSRF). Checked for the address that is really connected to, whatever name or redirect led there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the open internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Why a receiver there is not called.
pub(super) fn refused(address: IpAddr) -> String {
    format!(
        "{address} is no public address; set webhooks.allow_private = true if the receiver is meant to be there"
    )
}

/// What is left of the IANA registry of special-purpose IPv4 addresses (RFC 6890 and what came after it).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 224)
}

/// Global unicast is 2000::/3 (RFC 4291 2.4), less what the IANA registry of special-purpose addresses takes out of
/// it. All else is refused without being named: local addresses, IPv4 in 64:ff9b:1::/48 (RFC 8215) and ::ffff:0:0:0/96
/// (RFC 2765), behind which private networks are, and whatever will be given out.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let [first, second, .., interface, kind, high, low] = address.segments();
    let is_global = (first & 0xe000) == 0x2000;
    // 2001::/23 are protocols' own: Teredo, benchmarks, ORCHID and the like.
    let is_protocol = first == 0x2001 && second < 0x200;
    let is_documentation = (first == 0x2001 && second == 0xdb8) || (first == 0x3fff && second < 0x1000);
    // ISATAP (RFC 5214 6.1) leads to an IPv4 address by way of any prefix.
    let leads_inside =
        matches!(interface, 0 | 0x200) && kind == 0x5efe && !is_public_v4(two_halves(high, low));
    is_global && !is_protocol && !is_documentation && !leads_inside
}

/// An IPv4 address that an IPv6 one stands for: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(two_halves(g, h)),
        (0x2002, ..) => Some(two_halves(b, c)),
        _ => None,
    }
}

fn two_halves(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("203.1.113.9", true),
            ("127.0.0.1", false),
            ("127.8.9.1", false),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.100.100.200", false),
            ("0.0.0.0", false),
            ("192.0.0.170", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700::1111", true),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::a00:1", false),
            ("2002:7f00:1::", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("192.88.99.1", false),
            ("192.0.2.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b:1::10.0.0.1", false),
            ("64:ff9b:1:7f00:1::", false),
            ("::ffff:0:127.0.0.1", false),
            ("::ffff:0:10.0.0.1", false),
            ("::127.0.0.1", false),
            ("2001::7f00:1", false),
            ("2001:0:102:304:0:fbf0:80ff:fffe", false),
            ("2001:2::1", false),
            ("2001:10::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2001:200::1", true),
            ("2001:4860:4860::8888", true),
            ("2002:808:808::1", true),
            ("2606:4700::5efe:a00:1", false),
            ("2606:4700::200:5efe:7f00:1", false),
            ("2606:4700::5efe:808:808", true),
            ("3fff::1", false),
            ("3fff:1000::1", true),
            ("4000::1", false),
            ("5f00::1", false),
            ("100::1", false),
            ("100:0:0:1::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
