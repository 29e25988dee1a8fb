//! Checked-in files that are made from a table: tests hold them to it, and write them anew with `ROOMFUL_REGENERATE=1` (`make
//! generated`).

use std::path::Path;

/// Holds a file, named from the repository's root, to what it must be.
pub(crate) fn require_current(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    if std::env::var_os("ROOMFUL_REGENERATE").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(made.lines()).position(|(is, must)| is != must);
    let line = differs.unwrap_or(found.lines().count().min(made.lines().count()));
    let (is, must) = (found.lines().nth(line), made.lines().nth(line));
    assert!(found == made, "{file}:{}: run `make generated`: it is {is:?} and must be {must:?}", line + 1);
}
