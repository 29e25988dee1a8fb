//! What the disk itself gives: pages written one after the other, each durable before the next.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
const PAGES: u64 = 1024;
const MEASURED: Duration = Duration::from_secs(1);

/// More syncs a second than any disk has: what answers like that is memory.
const NO_DISK: f64 = 300_000.0;

pub(crate) struct Disk {
    file: File,
    next: u64,
}

impl Disk {
    /// A file beside what is measured, on the same file system, as long as it will ever be: as in a write-ahead log that is
    /// used again, a sync is the page's alone, and not the new length's too.
    pub(crate) fn beside(folder: &Path) -> anyhow::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        file.write_all_at(&vec![0; PAGE * PAGES as usize], 0)?;
        file.sync_all()?;
        Ok(Self { file, next: 0 })
    }

    /// How often a second a page can be written and synced; `None` where there is no disk.
    pub(crate) fn syncs_a_second(&mut self) -> anyhow::Result<Option<f64>> {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < MEASURED {
            self.next += 1;
            self.file.write_all_at(&[self.next as u8; PAGE], self.next % PAGES * PAGE as u64)?;
            self.file.sync_data()?;
            count += 1;
        }
        let rate = f64::from(count) / started.elapsed().as_secs_f64();
        Ok((rate < NO_DISK).then_some(rate))
    }
}
