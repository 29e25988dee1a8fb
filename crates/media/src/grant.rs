//! What a slot has been given of its viewer's link (`allocation.rs` says by what).

use crate::source::MAX_LAYERS;
use crate::thinning::ALL;

/// A step that is lost within this time waits as long before it is tried again, twice as long the next time, up to a limit.
const SOON_US: u64 = 5_000_000;
const LONGEST_WAIT_US: u64 = 60_000_000;

/// A picture that is shown smaller may be shown larger again in a moment.
const SMALLER_AFTER_US: u64 = 2_000_000;

/// What was taken back is not tried at once.
#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    until: u64,
    /// For how long it is not tried.
    span: u64,
    /// Its publisher took it back, or held it up: nothing was seen of the viewer's link.
    is_publishers: bool,
}

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
    /// For each layer, and last for the frame rate.
    waits: [Wait; MAX_LAYERS + 1],
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
            waits: [Wait::default(); MAX_LAYERS + 1],
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
        self.has(layer) || self.waits.get(layer).is_none_or(|wait| now >= wait.until)
    }

    /// Whether a layer is not tried on account of its viewer's link.
    pub(crate) fn is_kept_by_link(&self, layer: usize, now: u64) -> bool {
        self.waits.get(layer).is_some_and(|wait| now < wait.until && !wait.is_publishers)
    }

    pub(crate) fn has(&self, layer: usize) -> bool {
        self.layer.is_some_and(|granted| usize::from(granted) >= layer)
    }

    pub(crate) fn has_share(&self, layer: usize, share: u8) -> bool {
        self.layer.is_some_and(|granted| (usize::from(granted), self.share) >= (layer, share))
    }

    pub(crate) fn may_have_share(&self, layer: usize, share: u8, now: u64) -> bool {
        let is_due = self.waits.last().is_none_or(|wait| now >= wait.until);
        is_due || self.has_share(layer, share)
    }

    /// A layer, or part of the frame rate, is taken back; when it was had for a moment only, it is not tried again at once.
    pub(crate) fn lose(&mut self, layer: usize, now: u64, is_publishers: bool) {
        let is_kept_by_link = self.is_kept_by_link(layer, now);
        if let Some(wait) = self.waits.get_mut(layer) {
            let is_soon = now.saturating_sub(self.gained_at) < SOON_US;
            // What a publisher leaves out now and then says nothing of the next time.
            let longer =
                if is_publishers { SOON_US } else { (2 * wait.span).clamp(SOON_US, LONGEST_WAIT_US) };
            wait.span = if is_soon { longer } else { 0 };
            wait.until = now + wait.span;
            wait.is_publishers = is_publishers && !is_kept_by_link;
        }
    }
}
