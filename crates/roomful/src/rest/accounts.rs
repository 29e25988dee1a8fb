//! Accounts and their profiles. These older services put their results at the top level of the answer.

use hall::tenant::Command;
use rooms::{Profile, ProfileChange, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;
use super::answer::TopLevel;
use crate::error::{ApiError, Code};

/// How many accounts one call may name.
const MAX_ACCOUNTS: usize = 100;

const NICK: &str = "Tag_Profile_IM_Nick";
const IMAGE: &str = "Tag_Profile_IM_Image";

/// An account that does not exist, inside an answer about several.
const NO_SUCH_ACCOUNT: u32 = Code::AccountNotFound.number();

/// Nothing to say but that it is done.
#[derive(Serialize, JsonSchema)]
pub(super) struct Nothing {}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Import {
    #[serde(rename = "UserID", alias = "Identifier")]
    #[schemars(required)]
    user_id: Option<Value>,
    #[serde(rename = "Nick")]
    nick: Option<String>,
    #[serde(rename = "FaceUrl")]
    face_url: Option<String>,
}

impl Import {
    /// The account, and what to do to its profile.
    fn read(self) -> Result<(UserId, ProfileChange), ApiError> {
        let user = read_user("UserID", self.user_id.as_ref())?;
        let change = ProfileChange { nick: self.nick, face_url: self.face_url, other: Vec::new() };
        let mut checked = Profile::default();
        change.clone().make(&mut checked);
        checked.check()?;
        Ok((user, change))
    }
}

/// An account's id; one that is no string has a code of its own.
fn read_user(field: &str, value: Option<&Value>) -> Result<UserId, ApiError> {
    match value {
        None | Some(Value::Null) => Err(ApiError::invalid(field, "is missing")),
        Some(Value::String(text)) => Ok(UserId::parse_field(field, text)?),
        Some(_) => Err(ApiError::new(Code::AccountNotString, format!("{field} must be a string"))),
    }
}

fn require_few<T>(field: &str, accounts: Option<Vec<T>>) -> Result<Vec<T>, ApiError> {
    let accounts = accounts.ok_or_else(|| ApiError::invalid(field, "is missing"))?;
    if accounts.is_empty() {
        return Err(ApiError::invalid(field, "names no account"));
    }
    if accounts.len() > MAX_ACCOUNTS {
        let trouble = format_args!("names {} accounts; at most {MAX_ACCOUNTS} are allowed", accounts.len());
        return Err(ApiError::invalid(field, trouble));
    }
    Ok(accounts)
}

pub(super) async fn account_import(call: Call, request: Import) -> Result<TopLevel<Nothing>, ApiError> {
    call.server.save_accounts(&call.app, vec![request.read()?]).await?;
    Ok(TopLevel(Nothing {}))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MultiImport {
    /// The older form: ids alone.
    accounts: Option<Vec<Value>>,
    account_list: Option<Vec<Import>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Imported {
    fail_accounts: Vec<Value>,
}

pub(super) async fn multiaccount_import(
    call: Call,
    request: MultiImport,
) -> Result<TopLevel<Imported>, ApiError> {
    let imports = match (request.account_list, request.accounts) {
        (Some(list), _) => require_few("AccountList", Some(list))?,
        (None, accounts) => require_few("Accounts", accounts)?
            .into_iter()
            .map(|user_id| Import { user_id: Some(user_id), nick: None, face_url: None })
            .collect(),
    };
    // An id that cannot be an account fails alone; the others are imported.
    let (mut good, mut failed) = (Vec::new(), Vec::new());
    for import in imports {
        let name = import.user_id.clone().unwrap_or_default();
        match import.read() {
            Ok(import) => good.push(import),
            Err(error) if error.code == Code::AccountNotString => return Err(error),
            Err(_) => failed.push(name),
        }
    }
    if !good.is_empty() {
        call.server.save_accounts(&call.app, good).await?;
    }
    Ok(TopLevel(Imported { fail_accounts: failed }))
}

/// `{"UserID": ..}` in a list.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Named {
    #[serde(rename = "UserID")]
    #[schemars(required)]
    user_id: Option<Value>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deletion {
    #[schemars(required)]
    delete_item: Option<Vec<Named>>,
}

/// What became of one account.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ItemResult {
    #[serde(rename = "UserID")]
    user_id: String,
    result_code: u32,
    result_info: &'static str,
    /// Imported or NotImported, when that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_status: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ItemResults {
    result_item: Vec<ItemResult>,
}

pub(super) async fn account_delete(call: Call, request: Deletion) -> Result<TopLevel<ItemResults>, ApiError> {
    let named = require_few("DeleteItem", request.delete_item)?;
    let users = named.iter().map(|item| read_user("UserID", item.user_id.as_ref()));
    let users = users.collect::<Result<Vec<_>, _>>()?;
    let mut results = Vec::with_capacity(users.len());
    for user in users {
        let (result_code, result_info) = if call.app.account(user.as_str()).is_none() {
            (NO_SUCH_ACCOUNT, "the account does not exist")
        } else if call.app.credentials().is_admin(user.as_str()) {
            (Code::NotAnAdmin.number(), "an administrator of the app cannot be deleted")
        } else {
            call.server.ask_app(&call.app, call.caller.as_str(), Command::Delete(user.clone())).await?;
            (0, "")
        };
        results.push(ItemResult {
            user_id: user.to_string(),
            result_code,
            result_info,
            account_status: None,
        });
    }
    Ok(TopLevel(ItemResults { result_item: results }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Check {
    #[schemars(required)]
    check_item: Option<Vec<Named>>,
}

pub(super) async fn account_check(call: Call, request: Check) -> Result<TopLevel<ItemResults>, ApiError> {
    let named = require_few("CheckItem", request.check_item)?;
    let mut results = Vec::with_capacity(named.len());
    for item in &named {
        let user = read_user("UserID", item.user_id.as_ref())?;
        let status = if call.app.account(user.as_str()).is_some() { "Imported" } else { "NotImported" };
        results.push(ItemResult {
            user_id: user.to_string(),
            result_code: 0,
            result_info: "",
            account_status: Some(status),
        });
    }
    Ok(TopLevel(ItemResults { result_item: results }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct PortraitGet {
    #[serde(rename = "To_Account")]
    #[schemars(required)]
    to_account: Option<Vec<Value>>,
    #[serde(rename = "TagList")]
    #[schemars(required)]
    tag_list: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Portraits {
    #[serde(rename = "UserProfileItem")]
    items: Vec<Portrait>,
    #[serde(rename = "Fail_Account", skip_serializing_if = "Option::is_none")]
    failed: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Portrait {
    #[serde(rename = "To_Account")]
    to_account: String,
    profile_item: Vec<KnownItem>,
    result_code: u32,
    result_info: &'static str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KnownItem {
    tag: String,
    value: Value,
}

pub(super) async fn portrait_get(call: Call, request: PortraitGet) -> Result<TopLevel<Portraits>, ApiError> {
    let named = require_few("To_Account", request.to_account)?;
    let tags = request.tag_list.filter(|tags| !tags.is_empty());
    let tags = tags.ok_or_else(|| ApiError::invalid("TagList", "is missing or empty"))?;
    let (mut items, mut failed) = (Vec::with_capacity(named.len()), Vec::new());
    for value in &named {
        let user = read_user("To_Account", Some(value))?;
        let account = call.app.account(user.as_str());
        let known = |tag: &String| {
            Some(KnownItem { tag: tag.clone(), value: profile_value(&account.as_ref()?.profile, tag)? })
        };
        let (result_code, result_info) =
            if account.is_some() { (0, "") } else { (NO_SUCH_ACCOUNT, "the account does not exist") };
        if account.is_none() {
            failed.push(user.to_string());
        }
        let profile_item = tags.iter().filter_map(known).collect();
        items.push(Portrait { to_account: user.to_string(), profile_item, result_code, result_info });
    }
    Ok(TopLevel(Portraits { items, failed: (!failed.is_empty()).then_some(failed) }))
}

fn profile_value(profile: &Profile, tag: &str) -> Option<Value> {
    match tag {
        NICK => Some(profile.nick.as_str().into()),
        IMAGE => Some(profile.face_url.as_str().into()),
        other => serde_json::from_str(profile.other.get(other)?).ok(),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct PortraitSet {
    #[serde(rename = "From_Account")]
    #[schemars(required)]
    from_account: Option<Value>,
    #[serde(rename = "ProfileItem")]
    #[schemars(required)]
    profile_item: Option<Vec<ProfileItem>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProfileItem {
    #[schemars(required)]
    tag: Option<String>,
    #[schemars(required)]
    value: Option<Value>,
}

pub(super) async fn portrait_set(call: Call, request: PortraitSet) -> Result<TopLevel<Nothing>, ApiError> {
    let user = read_user("From_Account", request.from_account.as_ref())?;
    let user = call.app.require_account("From_Account", user.as_str())?.user.clone();
    let items = request.profile_item.filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| ApiError::invalid("ProfileItem", "is missing or empty"))?;
    let mut change = ProfileChange::default();
    for item in items {
        let tag = item.tag.filter(|tag| tag.starts_with("Tag_Profile_"));
        let tag = tag.ok_or_else(|| {
            ApiError::invalid("Tag", "must begin with Tag_Profile_IM_ or Tag_Profile_Custom_")
        })?;
        let value = item.value.ok_or_else(|| ApiError::invalid("Value", "is missing"))?;
        if !value.is_string() && (!value.is_u64() || tag == NICK || tag == IMAGE) {
            return Err(ApiError::invalid(&tag, "has a value of the wrong type"));
        }
        match (tag.as_str(), value) {
            (NICK, Value::String(text)) => change.nick = Some(text),
            (IMAGE, Value::String(text)) => change.face_url = Some(text),
            (_, value) => change.other.push((tag, value.to_string())),
        }
    }
    call.server.save_accounts(&call.app, vec![(user, change)]).await?;
    Ok(TopLevel(Nothing {}))
}
