//! Who calls the RTC API: TC3-HMAC-SHA256 (API 3.0), and the older HmacSHA1 and HmacSHA256 over flat parameters.
//!
//! No clock and no I/O: the time is an argument, in Unix seconds. What comes from a caller is untrusted, so it is bounded and
//! compared in constant time. Makers of SDKs disagree about the host that they sign, and about letters' case: [`hosts`] and
//! [`Authorization::verify`] try what is known to be meant, in one order.
//!
//! ```
//! use tc3::{Authorization, Payload, Request, SecretKey};
//!
//! let key = SecretKey::new("roomfulExampleSecretKey0123456789");
//! let header = |name: &str| (name == "content-type").then_some(&b"application/json"[..]);
//! let hosts = tc3::hosts("rtc.example.org:7000", []);
//! let payload = Payload::of(br#"{"SdkAppId":1400000001}"#);
//! let request =
//!     Request { method: "POST", query: "", timestamp: "1700000000", payload, hosts: &hosts, header: &header };
//! let text = tc3::sign(&key, "AKIDexample", "trtc", &["content-type", "host"], &request)?;
//!
//! let authorization = Authorization::parse(&text)?;
//! assert_eq!(authorization.secret_id(), "AKIDexample");
//! authorization.require_time("1700000000", 1_700_000_100)?;
//! authorization.verify(&key, &request)?;
//! # Ok::<(), tc3::Error>(())
//! ```

mod authorization;
mod date;
mod error;
mod flat;
mod hex;
mod hosts;
mod key;

pub use authorization::{ALGORITHM, Authorization, CLOCK_SKEW_SECONDS, Payload, Request, require_time, sign};
pub use error::Error;
pub use flat::{Digest, Flat, MAX_PARAMETERS};
pub use hosts::hosts;
pub use key::SecretKey;
