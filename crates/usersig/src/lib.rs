//! UserSig (version 2.0): "the holder is user X of app A until time T", signed with the app's SecretKey.
//!
//! No clock and no I/O: the time is an argument, in Unix seconds. A credential is untrusted input, so its text and
//! what it inflates to are both bounded by [`MAX_BYTES`], and the signature is compared in constant time.
//!
//! ```
//! use usersig::{Claims, SecretKey};
//!
//! let key = SecretKey::new("0123456789abcdef");
//! let claims = Claims::new("ann", 1_400_000_001, 1_700_000_000, 3600);
//! let sig = usersig::sign(&key, &claims)?;
//!
//! let seen = usersig::verify(&key, &sig, 1_700_000_100)?;
//! seen.require("ann", 1_400_000_001)?;
//! assert_eq!(seen, claims);
//! # Ok::<(), usersig::Error>(())
//! ```

mod error;
mod private_map_key;
mod sig;

pub use error::Error;
pub use private_map_key::{PrivateMapKey, Room};
pub use sig::{CLOCK_SKEW_SECONDS, Claims, Decoded, MAX_BYTES, SecretKey, decode, sign, verify};
