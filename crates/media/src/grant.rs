//! What a slot has been given of its viewer's link (`allocation.rs` says by what).

use crate::source::MAX_LAYERS;
use crate::thinning::ALL;

/// A step that is lost within this time waits as long before it is tried again, twice as long the next time, up to a limit.
const SOON_US: u64 = 5_000_000;
const LONGEST_WAIT_US: u64 = 60_000_000;

/// A picture that is shown smaller may be shown larger again in a moment.
const SMALLER_AFTER_US: u64 = 2_000_000;

/// What a slot has been given.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// The layer; `None` for no picture.
    pub(crate) layer: Option<u8>,
    /// The highest share of the frame rate: [`ALL`], but for the lowest layer where that does not fit.
    pub(crate) share: u8,
    /// When it went up to it.
    pub(crate) gained_at: u64,
    /// Since when less is meant for it.
    pub(crate) lower_since: Option<u64>,
    pub(crate) paused_at: Option<u64>,
    /// For each layer, and last for the frame rate, until when it is not tried, and for how long it was not the last time.
    pub(crate) waits: [(u64, u64); MAX_LAYERS + 1],
    /// The height it is shown at, since when it would be less.
    pub(crate) shown: (u32, Option<u64>),
}

impl Default for Grant {
    /// The lowest layer is sent until it is known not to fit.
    fn default() -> Self {
        Self {
            layer: Some(0),
            share: ALL,
            gained_at: 0,
            lower_since: None,
            paused_at: None,
            waits: [(0, 0); MAX_LAYERS + 1],
            shown: (0, None),
        }
    }
}

impl Grant {
    /// How tall the picture has to be: more at once, less when it stays so.
    pub(crate) fn height(&mut self, wanted: u32, now: u64) -> u32 {
        let (height, since) = &mut self.shown;
        let is_due = wanted >= *height || now.saturating_sub(*since.get_or_insert(now)) >= SMALLER_AFTER_US;
        if is_due {
            (*height, *since) = (wanted, None);
        }
        *height
    }

    pub(crate) fn may_step_to(&self, layer: usize, now: u64) -> bool {
        self.has(layer) || self.waits.get(layer).is_none_or(|(until, _)| now >= *until)
    }

    pub(crate) fn has(&self, layer: usize) -> bool {
        self.layer.is_some_and(|granted| usize::from(granted) >= layer)
    }

    pub(crate) fn has_share(&self, layer: usize, share: u8) -> bool {
        self.layer.is_some_and(|granted| (usize::from(granted), self.share) >= (layer, share))
    }

    pub(crate) fn may_have_share(&self, layer: usize, share: u8, now: u64) -> bool {
        let is_due = self.waits.last().is_none_or(|(until, _)| now >= *until);
        is_due || self.has_share(layer, share)
    }

    /// A layer, or part of the frame rate, is taken back; when it was had for a moment only, it is not tried again at once.
    pub(crate) fn lose(&mut self, layer: usize, now: u64) {
        if let Some((until, span)) = self.waits.get_mut(layer) {
            let is_soon = now.saturating_sub(self.gained_at) < SOON_US;
            *span = if is_soon { (2 * *span).clamp(SOON_US, LONGEST_WAIT_US) } else { 0 };
            *until = now + *span;
        }
    }
}
