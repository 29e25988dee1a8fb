//! Under which names a caller may have signed the host.
//!
//! Python's SDK signs the endpoint's text as it is, port and scheme included, and sends that as `Host`. Node's signs the name without
//! the port, and sends both. Before a proxy it is the proxy's name that is signed. That a name is tried gives nobody anything:
//! whatever is signed, the key has to have signed it.

/// The most names that are tried: each costs two hashes.
const MOST: usize = 16;

/// What may have been signed as the host: `sent`, as the `Host` header has it, and `others`, under which the server is known too.
pub fn hosts<'a>(sent: &'a str, others: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !name.is_empty() && all.len() < MOST && all.iter().all(|known| known != name) {
            all.push(name.to_owned());
        }
    };
    let given: Vec<&str> = std::iter::once(sent).chain(others).map(str::trim).collect();
    for name in given.iter().flat_map(|name| [*name, without_port(name)]) {
        add(name);
        let lower = name.to_ascii_lowercase();
        add(&lower);
    }
    all
}

/// The name alone; an IPv6 address keeps its colons and brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            let is_bare_v6 = name.contains(':') && !name.ends_with(']') && !name.contains("://");
            if is_bare_v6 { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_tried_as_it_was_sent_first_then_without_its_port_and_in_lower_case() {
        for (sent, others, expected) in [
            ("a.example", vec![], vec!["a.example"]),
            ("A.example:7000", vec![], vec!["A.example:7000", "a.example:7000", "A.example", "a.example"]),
            ("127.0.0.1:1", vec![], vec!["127.0.0.1:1", "127.0.0.1"]),
            ("[::1]:7000", vec![], vec!["[::1]:7000", "[::1]"]),
            ("[::1]", vec![], vec!["[::1]"]),
            ("::1", vec![], vec!["::1"]),
            ("http://h:80", vec![], vec!["http://h:80", "http://h"]),
            ("h:", vec![], vec!["h:"]),
            (
                "10.0.0.1",
                vec!["rtc.example", " rtc.example:443 "],
                vec!["10.0.0.1", "rtc.example", "rtc.example:443"],
            ),
            ("", vec!["x"], vec!["x"]),
        ] {
            assert_eq!(hosts(sent, others), expected, "{sent}");
        }
    }

    #[test]
    fn only_so_many_are_tried() {
        let names: Vec<String> = (0..1000).map(|number| format!("host-{number}")).collect();

        assert_eq!(hosts("h", names.iter().map(String::as_str)).len(), MOST);
    }
}
