//! `roomful usersig`: sign one for a user, or say what one holds.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use store::Place;
use usersig::{Claims, SecretKey};

use super::apps;
use super::show::{Format, say, say_json};
use crate::clock;
use crate::error::ApiError;

#[derive(Args)]
#[command(subcommand_negates_reqs = true)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Whom to sign for
    #[arg(long, required = true)]
    user: Option<String>,
    /// For how many seconds it holds
    #[arg(long, default_value_t = 7 * 24 * 3600)]
    expire: u64,
    /// Of which app; the first if not given
    #[arg(long)]
    sdkappid: Option<u32>,
    #[command(flatten)]
    format: Format,
}

#[derive(Subcommand)]
enum Command {
    /// Check a UserSig against the apps of the data folder, and print what it says
    Verify {
        /// The UserSig
        sig: String,
        #[command(flatten)]
        format: Format,
    },
}

impl Options {
    pub(super) fn run(self, place: &Place) -> anyhow::Result<()> {
        match self.command {
            Some(Command::Verify { sig, format }) => verify(place, &sig, &format),
            None => {
                let app = apps::find(place, self.sdkappid)?;
                let user = rooms::UserId::parse_field("--user", &self.user.unwrap_or_default())?;
                let claims =
                    Claims::new(user.as_str(), app.sdkappid.0, clock::now().unix_seconds(), self.expire);
                let sig = ::usersig::sign(&SecretKey::new(app.secret_key), &claims)?;
                if self.format.json {
                    let app = app.sdkappid;
                    return say_json(&json!({"SdkAppId": app, "UserId": user.as_str(), "UserSig": sig}));
                }
                say(sig)
            }
        }
    }
}

fn verify(place: &Place, sig: &str, format: &Format) -> anyhow::Result<()> {
    let now = clock::now().unix_seconds();
    let mut error = None;
    for app in place.read_apps()? {
        match ::usersig::verify(&SecretKey::new(app.secret_key), sig, now) {
            Ok(claims) => {
                claims.require(&claims.identifier, app.sdkappid.0)?;
                let Claims { identifier, sdkappid, issued_at, expire, .. } = claims;
                let left = issued_at + expire - now;
                if format.json {
                    return say_json(&json!({
                        "identifier": identifier, "sdkappid": sdkappid, "time": issued_at, "expire": expire,
                        "seconds_left": left,
                    }));
                }
                let left = humantime::format_duration(std::time::Duration::from_secs(left));
                return say(format_args!("of {identifier}, for app {sdkappid}; expires in {left}"));
            }
            // Another app's key may still fit; any other trouble is the same for all.
            Err(found) => error = Some(found),
        }
    }
    let error = error.context("there is no app in the data folder")?;
    let ApiError { code, message, .. } = error.into();
    bail!("{code} ({message})")
}
