//! How a browser hears: sound waits for a moment before it is played, what is not there by then is concealed, and what is missing
//! is asked for as long as it would still come in time.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::{SOUND, nack};

/// A packet of sound.
const FRAME: f64 = 0.02;

/// How long it waits before it is played.
const DELAY: f64 = 0.12;

/// How often one packet is asked for, and how long before it is asked for again.
const MAX_ASKED: u32 = 10;
const ROUND_TRIP: f64 = 0.1;

#[derive(Default)]
pub(super) struct Ear {
    /// When number 0 would have come.
    base: Option<f64>,
    /// Sounds that can be played, and packets that came themselves.
    sounds: BTreeSet<u64>,
    came: BTreeSet<u64>,
    newest: u64,
    next: u64,
    missing: BTreeMap<u64, (f64, u32)>,
    pub(super) played: u64,
    pub(super) concealed: u64,
    /// Packets that came twice.
    pub(super) twice: u64,
}

impl Ear {
    /// A packet is there, perhaps with a copy of the one before. Returns whether it is new.
    pub(super) fn take(&mut self, number: u64, is_doubled: bool, at: f64) -> bool {
        if self.base.is_none() {
            self.base = Some(at - number as f64 * FRAME);
            (self.newest, self.next) = (number, number);
        }
        for lost in self.newest + 1..number {
            self.missing.insert(lost, (0.0, 0));
        }
        self.newest = self.newest.max(number);
        self.missing.remove(&number);
        self.sounds.insert(number);
        if is_doubled {
            self.sounds.insert(number - 1);
        }
        let is_new = self.came.insert(number);
        self.twice += u64::from(!is_new);
        is_new
    }

    /// The share that was concealed.
    pub(super) fn share_concealed(&self) -> f64 {
        self.concealed as f64 / (self.played + self.concealed).max(1) as f64
    }

    /// Plays what is due.
    pub(super) fn step(&mut self, now: f64) {
        let Some(base) = self.base else { return };
        while base + self.next as f64 * FRAME + DELAY <= now {
            match self.sounds.contains(&self.next) {
                true => self.played += 1,
                false => self.concealed += 1,
            }
            self.next += 1;
        }
        self.sounds = self.sounds.split_off(&self.next);
        self.missing = self.missing.split_off(&self.next);
    }

    /// Asks for what is missing.
    pub(super) fn ask(&mut self, now: f64) -> Option<Vec<u8>> {
        let mut pairs = Vec::new();
        for (number, (asked, times)) in &mut self.missing {
            if *times == 0 || *times < MAX_ASKED && now - *asked >= ROUND_TRIP {
                (*asked, *times) = (now, *times + 1);
                pairs.extend((*number as u16).to_be_bytes());
                pairs.extend([0, 0]);
            }
        }
        (!pairs.is_empty()).then(|| nack(SOUND, &pairs))
    }
}
