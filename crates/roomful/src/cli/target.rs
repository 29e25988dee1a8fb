//! Which server a command is for, and as whom it calls there: the one on the data folder by its control socket, or any by its
//! URL, with the SecretKey of an app.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use load::Address;
use serde_json::Value;
use usersig::{Claims, SecretKey};

use super::apps;
use super::show::Format;
use crate::{clock, control};

/// The service of Live rooms, and that of Conference rooms.
pub(super) const LIVE: &str = "live_engine_http_srv";
pub(super) const CONFERENCE: &str = "room_engine_http_srv";

/// What is answered for a room of the other type.
const NOT_A_LIVE_ROOM: u64 = 100_006;

/// What is answered where there is no room of the name.
const NO_SUCH_ROOM: u64 = 100_004;

#[derive(Args)]
#[command(next_help_heading = "Which server")]
pub(super) struct Target {
    /// The server, as https://live.example.org; the one that runs on the data folder if not given
    #[arg(long, value_name = "URL", env = "ROOMFUL_URL")]
    url: Option<String>,
    /// Of which app; the first of the data folder if not given
    #[arg(long, value_name = "ID", env = "ROOMFUL_SDKAPPID")]
    sdkappid: Option<u32>,
    /// The app's SecretKey, where no data folder has it
    #[arg(long, value_name = "KEY", env = "ROOMFUL_KEY", hide_env_values = true, requires = "sdkappid")]
    key: Option<String>,
    /// An administrator of the app, in whose name it is called [default: the first, or administrator]
    #[arg(long, value_name = "USER")]
    identifier: Option<String>,
    /// A PEM file of certificates to trust besides the usual ones
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

/// A room of a server, and how to say what comes of it.
#[derive(Args)]
pub(super) struct On {
    /// The room
    pub(super) room: String,
    #[command(flatten)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) target: Target,
}

/// An app of a server, and the right to call it.
pub(super) struct Api {
    pub(super) app: u32,
    key: SecretKey,
    admin: String,
    way: Way,
}

enum Way {
    Socket(PathBuf),
    Address(Address),
}

impl Target {
    /// By the control socket where no URL is given.
    pub(super) fn api(&self, folder: &Path) -> anyhow::Result<Api> {
        let (app, key, admin) = match (&self.key, self.sdkappid) {
            (Some(key), Some(app)) => (app, SecretKey::new(key.clone()), None),
            _ => {
                let app = apps::find(&store::Place::of(folder, "", None)?, self.sdkappid)?;
                let admin = app.admins.first().map(ToString::to_string);
                (app.sdkappid.0, SecretKey::new(app.secret_key), admin)
            }
        };
        let admin = self.identifier.clone().or(admin).unwrap_or_else(|| "administrator".into());
        let way = match &self.url {
            Some(url) => Way::Address(Address::parse(url, self.ca.as_deref())?),
            None => Way::Socket(folder.to_path_buf()),
        };
        Ok(Api { app, key, admin, way })
    }
}

impl Api {
    /// Where its clients connect.
    pub(super) async fn address(&self) -> anyhow::Result<Address> {
        match &self.way {
            Way::Address(address) => Ok(address.clone()),
            Way::Socket(folder) => {
                let about = control::call(folder, "/control/about", None).await?;
                let url = about
                    .get("url")
                    .and_then(Value::as_str)
                    .context("the server does not say where it is")?;
                Address::parse(url, None)
                    .with_context(|| format!("clients reach this server at {url}; name it with --url"))
            }
        }
    }

    /// The data folder, when it is the server on it.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.way {
            Way::Socket(folder) => Some(folder),
            Way::Address(_) => None,
        }
    }

    /// A UserSig that holds for a day.
    pub(super) fn sig(&self, user: &str) -> anyhow::Result<String> {
        let claims = Claims::new(user, self.app, clock::now().unix_seconds(), 24 * 3600);
        Ok(::usersig::sign(&self.key, &claims)?)
    }

    /// Calls a command; what it answers besides the envelope.
    pub(super) async fn call(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.answer(path, body).await?;
        match code_of(&answer) {
            0 => Ok(result_of(answer)),
            _ => Err(refusal(&answer)),
        }
    }

    /// Calls a command that has one name for Live rooms and another for Conference rooms; which the room is, the server knows.
    pub(super) async fn call_either(
        &self,
        live: &str,
        conference: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let answer = self.answer(&format!("{LIVE}/{live}"), body).await?;
        match code_of(&answer) {
            0 => Ok(result_of(answer)),
            NOT_A_LIVE_ROOM => self.call(&format!("{CONFERENCE}/{conference}"), body).await,
            _ => Err(refusal(&answer)),
        }
    }

    /// Makes accounts known: a call may name only those.
    pub(super) async fn import(&self, users: &[String]) -> anyhow::Result<()> {
        for users in users.chunks(100) {
            let body = serde_json::json!({"Accounts": users});
            self.call("im_open_login_svc/multiaccount_import", &body).await?;
        }
        Ok(())
    }

    async fn answer(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (app, sig) = (self.app, self.sig(&self.admin)?);
        let admin = percent_encoding::utf8_percent_encode(&self.admin, percent_encoding::NON_ALPHANUMERIC);
        let path = format!(
            "/v4/{path}?sdkappid={app}&identifier={admin}&usersig={sig}&random={}&contenttype=json",
            getrandom::u32()?
        );
        match &self.way {
            Way::Socket(folder) => control::call(folder, &path, Some(body)).await,
            Way::Address(address) => {
                let request = Request::post(path)
                    .header("host", address.authority())
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from(body.to_string())))?;
                let (status, answer) = load::exchange(address.connect().await?, request).await?;
                if status != StatusCode::OK {
                    bail!("{} answered with HTTP {status}: is a Roomful server there?", address.authority());
                }
                serde_json::from_slice(&answer)
                    .context("what was answered is no JSON: is a Roomful server there?")
            }
        }
    }
}

fn code_of(answer: &Value) -> u64 {
    answer.get("ErrorCode").and_then(Value::as_u64).unwrap_or(u64::MAX)
}

/// The server has refused a call.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {info}")]
pub(super) struct Refused {
    code: u64,
    info: String,
}

impl Refused {
    pub(super) fn is_no_such_room(&self) -> bool {
        self.code == NO_SUCH_ROOM
    }
}

fn refusal(answer: &Value) -> anyhow::Error {
    let info = answer.get("ErrorInfo").and_then(Value::as_str).unwrap_or_default().to_string();
    Refused { code: code_of(answer), info }.into()
}

/// `Response`, or what the older services have beside the envelope.
fn result_of(mut answer: Value) -> Value {
    if let Some(response) = answer.get_mut("Response") {
        return response.take();
    }
    if let Some(fields) = answer.as_object_mut() {
        fields.retain(|name, _| {
            !["ErrorCode", "ErrorInfo", "ActionStatus", "RequestId"].contains(&name.as_str())
        });
    }
    answer
}
