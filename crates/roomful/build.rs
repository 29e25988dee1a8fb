//! Takes the browser client's builds into the binary; without them, stand-ins that say how to make them.

use std::path::Path;
use std::{env, fs, io};

/// Each build, and what stands in for it.
const BUILDS: [(&str, &str); 2] = [
    (
        "roomful-client.js",
        "\
// The browser client was not built when this server was: run `make sdk`, then build the server again.
export const isStandIn = true;
export default undefined;
",
    ),
    (
        "roomful-client.umd.js",
        "\
console.error('The browser client was not built when this server was: run `make sdk`, then build the server again.');
",
    ),
];

fn main() -> io::Result<()> {
    let folder = env::var("OUT_DIR").map_err(io::Error::other)?;
    for (name, stand_in) in BUILDS {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/js/dist").join(name);
        println!("cargo::rerun-if-changed={}", built.display());
        let text = fs::read_to_string(&built).unwrap_or_else(|_| stand_in.into());
        fs::write(Path::new(&folder).join(name), text)?;
    }
    Ok(())
}
