//! Which layers of a publisher anybody wants: a layer that nobody has wanted for a while need not be sent at all, and one that
//! somebody wants is sent at once.
//!
//! Viewers, wherever they are, note on the source which layers their links and screens admit; its publisher's worker looks at
//! that, and tells what has changed. A viewer admits whatever is below what it gets, so that it can always go down.

use smallvec::SmallVec;

use crate::source::{MAX_LAYERS, Source};

/// For how long a layer is sent that nobody wants any more.
const OFF_AFTER_US: u64 = 4_000_000;

/// A layer that was asked for and does not come in this time is one that its publisher cannot send.
const GIVEN_UP_AFTER_US: u64 = 5_000_000;

/// What a publisher was told of each layer, lowest first: whether it is wanted, and since when.
#[derive(Debug, Clone)]
pub(crate) struct Wants {
    layers: SmallVec<[(bool, u64); MAX_LAYERS]>,
}

impl Wants {
    /// A publication begins; all its layers are sent.
    pub(crate) fn new(source: &Source, now: u64) -> Self {
        let layers = 0..source.layer_count();
        layers.clone().for_each(|layer| source.seek(layer, now));
        Self { layers: layers.map(|_| (true, now)).collect() }
    }

    /// Looks at what is wanted of the source, whose packets may get lost on their way here. `true` when that is not what the
    /// publisher was told.
    ///
    /// The lowest layer is not switched off where packets get lost: a browser that has sent next to nothing there takes half a
    /// minute to find its rate again.
    pub(crate) fn look(&mut self, source: &Source, is_lossy: bool, now: u64) -> bool {
        let mut has_changed = false;
        for (at, (is_wanted, since)) in self.layers.iter_mut().enumerate() {
            let is_kept = is_lossy && at == 0 && *is_wanted;
            let wanted = now.saturating_sub(source.sought_at(at)) < OFF_AFTER_US || is_kept;
            if wanted != *is_wanted {
                (*is_wanted, *since) = (wanted, now);
                has_changed = true;
                // What it took is remembered, so that viewers know whether they have room for it.
                if !wanted {
                    source.remember(at);
                }
            } else if wanted && now.saturating_sub(*since) > GIVEN_UP_AFTER_US {
                source.keep_bits(at, 0);
            }
        }
        has_changed
    }

    /// Whether each layer is wanted, lowest first.
    pub(crate) fn told(&self) -> impl Iterator<Item = bool> + '_ {
        self.layers.iter().map(|(is_wanted, _)| *is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::source::{RoomKey, SourceKey, Sources, StreamKind};

    const SECOND: u64 = 1_000_000;

    fn camera() -> Arc<Source> {
        let sources = Sources::default();
        let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main });
        sources.publish(&source, 0, 3, 720);
        for (layer, bits) in source.layers.iter().zip([100_000, 300_000, 1_000_000]) {
            layer.bits.store(bits, Ordering::Relaxed);
        }
        source
    }

    fn told(wants: &Wants) -> Vec<bool> {
        wants.told().collect()
    }

    #[test]
    fn a_layer_goes_off_when_nobody_has_wanted_it_for_four_seconds_and_on_at_once() {
        let source = camera();
        let mut wants = Wants::new(&source, SECOND);
        for tenth in 0..39 {
            source.seek(0, SECOND + tenth * SECOND / 10);
            assert!(!wants.look(&source, false, SECOND + tenth * SECOND / 10));
        }

        assert!(wants.look(&source, false, 5 * SECOND));
        assert_eq!(told(&wants), [true, false, false]);
        assert!(!wants.look(&source, false, 5 * SECOND + 1), "it is told once");

        source.seek(1, 6 * SECOND);
        assert!(wants.look(&source, false, 6 * SECOND));
        assert_eq!(told(&wants), [true, true, false]);
        assert!(wants.look(&source, false, 20 * SECOND));
        assert_eq!(told(&wants), [false, false, false], "nobody watches");
    }

    #[test]
    fn the_lowest_layer_stays_where_packets_get_lost() {
        let source = camera();
        let mut wants = Wants::new(&source, SECOND);

        assert!(wants.look(&source, true, 10 * SECOND));
        assert_eq!(told(&wants), [true, false, false]);
        assert!(wants.look(&source, false, 11 * SECOND));
        assert!(!wants.look(&source, true, 12 * SECOND), "what is off stays off");
    }

    #[test]
    fn layers_of_one_stream_are_wanted_as_one() {
        let sources = Sources::default();
        let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main });
        sources.publish(&source, 0, 0, 720);
        let mut wants = Wants::new(&source, SECOND);
        source.set_sizes(3, &[(320, 180), (640, 360), (1280, 720)]);
        source.seek(2, 4 * SECOND);
        source.seek(0, 4 * SECOND);

        assert!(!wants.look(&source, false, 6 * SECOND));
        assert_eq!(told(&wants), [true]);
        assert!(wants.look(&source, false, 9 * SECOND));
        assert_eq!(told(&wants), [false]);
    }

    #[test]
    fn a_layer_that_never_came_takes_what_its_publisher_says() {
        let source = camera();
        source.describe(2, 720, 900_000);
        source.layers[2].bits.store(0, Ordering::Relaxed);

        Wants::new(&source, 0).look(&source, false, 5 * SECOND);

        assert_eq!((source.known_bits(1), source.known_bits(2)), (300_000, 900_000));
    }

    #[test]
    fn what_a_layer_took_is_remembered_while_it_is_off_and_not_for_ever_when_it_does_not_come_back() {
        let source = camera();
        let mut wants = Wants::new(&source, 0);
        wants.look(&source, false, 5 * SECOND);
        source.layers.iter().for_each(|layer| layer.bits.store(0, Ordering::Relaxed));
        assert_eq!(source.known_bits(2), 1_000_000);

        for second in 6..13 {
            source.seek(2, second * SECOND);
            wants.look(&source, false, second * SECOND);
        }

        assert_eq!(source.known_bits(2), 0);
    }
}
