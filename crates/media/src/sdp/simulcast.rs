//! Simulcast: the layers of an m-line (RFC 8853), and what is said of each (RFC 8851).

use crate::source::MAX_LAYERS;

/// A layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    /// As its packets are marked (RFC 8852).
    pub(crate) rid: String,
    /// At most, in pixels and in bits a second; 0 when nothing is said.
    pub(crate) height: u32,
    pub(crate) most_bits: u32,
}

/// What an m-line sends.
#[derive(Debug, Default)]
pub(super) struct Simulcast {
    /// Lowest quality first.
    pub(super) layers: Vec<Layer>,
    /// `send rid=q;h;f`, as before the RFC.
    pub(super) is_draft: bool,
}

/// `send q;h;f recv ...`: alternatives after commas are left out, as are pauses (`~`).
pub(super) fn read(text: &str) -> Simulcast {
    let mut words = text.split_whitespace().skip_while(|word| *word != "send");
    let list = words.nth(1).unwrap_or_default();
    let (list, is_draft) = list.strip_prefix("rid=").map_or((list, false), |list| (list, true));
    let first =
        |stream: &str| stream.split(',').next().unwrap_or_default().trim_start_matches('~').to_owned();
    let mut rids: Vec<String> = Vec::new();
    for rid in list.split(';').map(first) {
        if !rid.is_empty() && rid.len() <= 255 && !rids.contains(&rid) {
            rids.push(rid);
        }
    }
    // They are listed by preference, the best first (RFC 8853 5.2), unless their names say how good they are.
    if rids.iter().all(|rid| quality(rid).is_some()) {
        rids.sort_by_key(|rid| quality(rid));
    } else {
        rids.reverse();
    }
    rids.drain(..rids.len().saturating_sub(MAX_LAYERS));
    let layers = rids.into_iter().map(|rid| Layer { rid, ..Layer::default() }).collect();
    Simulcast { layers, is_draft }
}

fn quality(rid: &str) -> Option<u8> {
    // "h" is "half" beside "q" and "f", and "high" beside "l" and "m".
    Some(match rid {
        "q" | "l" | "lo" | "low" | "r0" => 0,
        "m" | "mid" | "medium" | "r1" => 1,
        "h" | "high" | "hi" | "half" => 2,
        "f" | "full" | "r2" => 3,
        _ => return None,
    })
}

/// Adds what the `a=rid` lines say, and puts in order by that where it is said of all.
pub(super) fn describe(layers: &mut [Layer], rids: &[&str]) {
    for layer in layers.iter_mut() {
        let is_it = |text: &&&str| {
            let mut words = text.split_whitespace();
            words.next() == Some(&layer.rid) && words.next() == Some("send")
        };
        let Some(restrictions) = rids.iter().find(is_it).and_then(|text| text.splitn(3, ' ').nth(2)) else {
            continue;
        };
        for (name, value) in restrictions.split(';').filter_map(|one| one.trim().split_once('=')) {
            match (name, value.parse()) {
                ("max-height", Ok(height)) => layer.height = height,
                ("max-br", Ok(bits)) => layer.most_bits = bits,
                _ => {}
            }
        }
    }
    if layers.iter().all(|layer| layer.height > 0) {
        layers.sort_by_key(|layer| layer.height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rids(text: &str) -> Vec<String> {
        read(text).layers.into_iter().map(|layer| layer.rid).collect()
    }

    #[test]
    fn layers_come_lowest_first_whatever_they_are_called() {
        for (text, expected) in [
            ("send f;h;q", &["q", "h", "f"][..]),
            ("send l;m;h", &["l", "m", "h"]),
            ("recv x send q;f", &["q", "f"]),
            ("send 0;1;2", &["2", "1", "0"]),
            ("send a;b,c;~d recv x", &["d", "b", "a"]),
            ("send layer_one;layer_two_of_many", &["layer_two_of_many", "layer_one"]),
            ("send 0;1;2;3", &["2", "1", "0"]),
            (" send rid=hi;lo", &["lo", "hi"]),
            ("recv x", &[]),
            ("send ;;", &[]),
        ] {
            assert_eq!(rids(text), expected, "{text}");
        }
        assert!(read(" send rid=hi;lo").is_draft && !read("send hi;lo").is_draft);
    }

    #[test]
    fn what_is_said_of_layers_puts_them_in_order() {
        let mut layers = read("send a;b;c").layers;

        describe(
            &mut layers,
            &[
                "a send max-height=180;max-br=200000",
                "b send pt=96;max-width=640;max-height=360",
                "c send max-height=720",
            ],
        );

        let told: Vec<_> =
            layers.iter().map(|layer| (layer.rid.as_str(), layer.height, layer.most_bits)).collect();
        assert_eq!(told, [("a", 180, 200_000), ("b", 360, 0), ("c", 720, 0)]);
    }
}
