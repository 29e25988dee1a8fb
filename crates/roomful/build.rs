//! Takes the browser client's builds into the binary, compressed as they are served; without them, stand-ins that say how
//! to make them.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is served where nothing was built.
const STAND_INS: [(&str, &str); 4] = [
    ("roomful-client.js", MODULE),
    ("roomful-client.umd.js", SCRIPT),
    ("roomful-client-v4.js", MODULE),
    ("roomful-client-v4.umd.js", SCRIPT),
];

const MODULE: &str = "\
// The browser client was not built when this server was: run `make sdk`, then build the server again.
export const isStandIn = true;
export default undefined;
";

const SCRIPT: &str = "\
console.error('The browser client was not built when this server was: run `make sdk`, then build the server again.');
";

fn main() -> io::Result<()> {
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let served = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/js/dist/served");
    println!("cargo::rerun-if-changed={}", served.display());
    let mut files = Vec::new();
    if served.is_dir() {
        collect(&served, &mut files)?;
        files.sort();
    }
    let mut table = String::from("const FILES: &[Served] = &[\n");
    for file in &files {
        let name = file.strip_prefix(&served).map_err(io::Error::other)?.display().to_string();
        let Some(name) = name.strip_suffix(".gz") else { continue };
        let bytes = fs::read(file)?;
        entry(&mut table, name, &bytes, &format!("include_bytes!({file:?})"), true)?;
    }
    if files.is_empty() {
        for (name, text) in STAND_INS {
            entry(&mut table, name, text.as_bytes(), &format!("{text:?}.as_bytes()"), false)?;
        }
    }
    table.push_str("];\n");
    fs::write(Path::new(&out).join("served.rs"), table)
}

fn entry(table: &mut String, name: &str, bytes: &[u8], source: &str, is_packed: bool) -> io::Result<()> {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    writeln!(table, "    Served {{ name: {name:?}, tag: {tag:?}, bytes: {source}, is_packed: {is_packed} }},")
        .map_err(io::Error::other)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
