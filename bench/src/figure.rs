//! A line of the table: what was measured, what beside it, and what is to come of it.

use serde_json::{Value, json};

pub(crate) enum Figure {
    Measured(Measured),
    /// What could not be measured here, and why.
    Skipped {
        name: &'static str,
        why: &'static str,
    },
}

pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// What it is held against, if anything was measured beside it.
    pub(crate) bare: Option<f64>,
    /// What the target is about: how ours is to the other, or ours alone.
    pub(crate) value: f64,
    pub(crate) target: Target,
}

pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// What two sides gave in turn. What counts is the ratio of neighbours: a machine that is slow for a moment is slow for
/// both of them.
#[derive(Default)]
pub(crate) struct Pairs {
    ours: Vec<f64>,
    bare: Vec<f64>,
}

impl Pairs {
    pub(crate) fn push(&mut self, ours: f64, bare: f64) {
        self.ours.push(ours);
        self.bare.push(bare);
    }

    pub(crate) fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.bare).map(|(ours, bare)| ours / bare).collect())
    }
}

impl Figure {
    pub(crate) fn alone(name: &'static str, unit: &'static str, ours: f64, target: Target) -> Self {
        Self::Measured(Measured { name, unit, ours, bare: None, value: ours, target })
    }

    pub(crate) fn beside(
        name: &'static str,
        unit: &'static str,
        ours: f64,
        bare: f64,
        target: Target,
    ) -> Self {
        Self::Measured(Measured { name, unit, ours, bare: Some(bare), value: ours / bare, target })
    }

    pub(crate) fn in_turn(name: &'static str, unit: &'static str, pairs: Pairs, target: Target) -> Self {
        let value = pairs.ratio();
        let (ours, bare) = (median(pairs.ours), Some(median(pairs.bare)));
        Self::Measured(Measured { name, unit, ours, bare, value, target })
    }

    /// As [`Self::in_turn`] where single measurements are rough, as a p99 of few is: neighbours say nothing of each other then, and what
    /// counts is how the middles of both sides compare.
    pub(crate) fn in_turn_of_medians(
        name: &'static str,
        unit: &'static str,
        pairs: Pairs,
        target: Target,
    ) -> Self {
        let (ours, bare) = (median(pairs.ours), median(pairs.bare));
        Self::beside(name, unit, ours, bare, target)
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Skipped { name, why } => json!({"name": name, "skipped": why}),
            Self::Measured(found) => json!({
                "name": found.name, "unit": found.unit, "ours": found.ours, "bare": found.bare,
                "value": found.value, "target": found.target.to_string(), "met": found.is_met(),
            }),
        }
    }
}

impl Measured {
    pub(crate) fn is_met(&self) -> bool {
        match self.target {
            Target::AtLeast(bound) => self.value >= bound,
            Target::AtMost(bound) => self.value <= bound,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => f.pad(&format!(">= {bound}")),
            Self::AtMost(bound) => f.pad(&format!("<= {bound}")),
        }
    }
}

/// The middle of an odd number of measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
