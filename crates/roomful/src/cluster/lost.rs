//! What a node remembers of a database that had lost what it had acknowledged, as a standby has that was promoted too early: the node goes
//! on with what is there, and says so until somebody has read it. It is in the data folder, since the run that saw it is over.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

/// The file that says it.
const FILE: &str = "lost-commits";

/// It was seen just now.
pub(super) fn note(folder: &Path) -> io::Result<()> {
    let now = httpdate::fmt_http_date(SystemTime::now());
    std::fs::write(
        folder.join(FILE),
        format!(
            "{now}: the database had lost what it had acknowledged, and the cluster went on with what was there: what clients and \
             your server were told in the last moments before may be gone\n"
        ),
    )
}

/// What there is to be read.
pub(crate) fn noted(folder: &Path) -> Option<String> {
    std::fs::read_to_string(folder.join(FILE)).ok()
}

/// Somebody has read it.
pub(crate) fn acknowledge(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_until_somebody_has_read_it() {
        let folder = tempfile::tempdir().unwrap();
        acknowledge(folder.path()).unwrap();
        assert_eq!(noted(folder.path()), None);

        note(folder.path()).unwrap();
        assert!(noted(folder.path()).unwrap().contains("lost what it had acknowledged"));

        acknowledge(folder.path()).unwrap();
        assert_eq!(noted(folder.path()), None);
    }
}
