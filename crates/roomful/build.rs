//! Takes the browser client's build into the binary; without one, a stand-in that says how to make it.

use std::path::Path;
use std::{env, fs, io};

const STAND_IN: &str = "\
// The browser client was not built when this server was: run `make sdk`, then build the server again.
export const isStandIn = true;
export default undefined;
";

fn main() -> io::Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/js/dist/roomful-client.js");
    println!("cargo::rerun-if-changed={}", built.display());
    let text = fs::read_to_string(&built).unwrap_or_else(|_| STAND_IN.into());
    let folder = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&folder).join("roomful-client.js"), text)
}
