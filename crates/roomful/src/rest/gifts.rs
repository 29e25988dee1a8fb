//! Gifts: the catalogue, giving, and what was given. The rules are `rooms/src/gifts.rs`.

use std::collections::BTreeMap;

use ::rooms::{Catalogue, CatalogueCommand, CategoryFields, Gift, GiftCategory, Time, Wording, Words};
use hall::Give;
use hall::tenant::Command;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::{Both, Done, Response};
use super::rooms::{LIVE, require_room_id};
use crate::clock;
use crate::error::ApiError;
use crate::webhooks;

/// A gift's fields; what is absent keeps its value, or is empty.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftFields {
    #[schemars(required)]
    gift_id: Option<String>,
    #[serde(alias = "IconURL")]
    icon_url: Option<String>,
    #[serde(alias = "ResourceURL")]
    resource_url: Option<String>,
    coins: Option<u64>,
    level: Option<u64>,
    extension_info: Option<String>,
    default_name: Option<String>,
    default_desc: Option<String>,
}

impl GiftFields {
    fn read(self) -> ::rooms::GiftFields {
        ::rooms::GiftFields {
            icon_url: self.icon_url,
            resource_url: self.resource_url,
            coins: self.coins,
            level: self.level,
            extension_info: self.extension_info,
            default_name: self.default_name,
            default_desc: self.default_desc,
        }
    }
}

/// A gift as it is answered.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftView {
    gift_id: String,
    icon_url: String,
    resource_url: String,
    coins: u64,
    level: u64,
    extension_info: String,
    default_name: String,
    default_desc: String,
    /// Unix seconds; 0 where it is not known.
    create_time: u64,
    /// In the language that was asked for; else the default.
    name: String,
    desc: String,
    /// Its names in other languages.
    language_list: Vec<GiftWording>,
}

/// What a gift is called in a language.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftWording {
    language: String,
    name: String,
    desc: String,
}

/// The words of the language that was asked for; else the default ones.
fn words_in<'a>(
    language: Option<&str>,
    all: &[(&str, &'a Wording)],
    default: (&'a str, &'a str),
) -> (String, String) {
    let asked = all.iter().find(|(known, _)| Some(*known) == language);
    let (name, desc) = asked.map_or(default, |(_, words)| (words.name.as_str(), words.desc.as_str()));
    (name.to_string(), desc.to_string())
}

impl GiftView {
    fn new(catalogue: &Catalogue, gift: &Gift, language: Option<&str>) -> Self {
        let wordings: Vec<_> = catalogue.gift_wordings(&gift.gift_id).collect();
        let (name, desc) = words_in(language, &wordings, (&gift.default_name, &gift.default_desc));
        let language_list = wordings
            .into_iter()
            .map(|(language, words)| GiftWording {
                language: language.into(),
                name: words.name.clone(),
                desc: words.desc.clone(),
            })
            .collect();
        let Gift {
            gift_id,
            icon_url,
            resource_url,
            coins,
            level,
            extension_info,
            default_name,
            default_desc,
            created_at,
        } = gift.clone();
        Self {
            gift_id,
            icon_url,
            resource_url,
            coins,
            level,
            extension_info,
            default_name,
            default_desc,
            create_time: created_at.map_or(0, Time::unix_seconds),
            name,
            desc,
            language_list,
        }
    }
}

fn require(field: &str, value: Option<String>) -> Result<String, ApiError> {
    value.ok_or_else(|| ApiError::invalid(field, "is missing"))
}

/// Changes the catalogue.
async fn change(call: &Call, what: CatalogueCommand) -> Result<Done, ApiError> {
    call.server.ask_app(&call.app, call.caller.as_str(), Command::Gifts(what)).await?;
    Ok(Done)
}

pub(super) async fn add_gift(call: Call, mut request: GiftFields) -> Result<Done, ApiError> {
    let gift_id = require("GiftId", request.gift_id.take())?;
    let (fields, created_at) = (request.read(), clock::now());
    change(&call, CatalogueCommand::AddGift { gift_id, fields, created_at }).await
}

pub(super) async fn edit_gift(call: Call, mut request: GiftFields) -> Result<Done, ApiError> {
    let gift_id = require("GiftId", request.gift_id.take())?;
    change(&call, CatalogueCommand::EditGift { gift_id, fields: request.read() }).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftRequest {
    #[schemars(required)]
    gift_id: Option<String>,
    language: Option<String>,
    name: Option<String>,
    desc: Option<String>,
}

pub(super) async fn del_gift(call: Call, request: GiftRequest) -> Result<Done, ApiError> {
    let gift_id = require("GiftId", request.gift_id)?;
    change(&call, CatalogueCommand::DeleteGift { gift_id }).await
}

#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneGift {
    gift_info: GiftView,
}

pub(super) async fn get_gift(call: Call, request: GiftRequest) -> Result<Both<OneGift, OneGift>, ApiError> {
    let gift_id = require("GiftId", request.gift_id)?;
    let catalogue = call.app.catalogue();
    let gift = GiftView::new(&catalogue, catalogue.gift(&gift_id)?, request.language.as_deref());
    let gift = OneGift { gift_info: gift };
    Ok(Both(gift.clone(), gift))
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftInfoList {
    gift_list: Vec<GiftView>,
    category_list: Vec<CategoryView>,
    total_count: usize,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InfoListRequest {
    /// In which language names are wanted.
    language: Option<String>,
}

pub(super) async fn get_gift_info_list(
    call: Call,
    request: InfoListRequest,
) -> Result<Response<GiftInfoList>, ApiError> {
    let catalogue = call.app.catalogue();
    let language = request.language.as_deref();
    let gift_list: Vec<GiftView> =
        catalogue.gifts().map(|gift| GiftView::new(&catalogue, gift, language)).collect();
    let category_list =
        catalogue.categories().map(|category| CategoryView::new(&catalogue, category, language)).collect();
    Ok(Response(GiftInfoList { total_count: gift_list.len(), gift_list, category_list }))
}

pub(super) async fn set_gift_language(call: Call, request: GiftRequest) -> Result<Done, ApiError> {
    let (gift_id, language) = (require("GiftId", request.gift_id)?, require("Language", request.language)?);
    let words = Words { name: request.name, desc: request.desc };
    change(&call, CatalogueCommand::WordGift { gift_id, language, words }).await
}

pub(super) async fn del_gift_language(call: Call, request: GiftRequest) -> Result<Done, ApiError> {
    let (gift_id, language) = (require("GiftId", request.gift_id)?, require("Language", request.language)?);
    change(&call, CatalogueCommand::UnwordGift { gift_id, language }).await
}

#[derive(Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NameAndDesc {
    name: String,
    desc: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftWords {
    gift_info: NameAndDesc,
}

/// Words by language; those of the language that was asked for also under `Language`.
type ByLanguage<T> = BTreeMap<String, T>;

/// The words that are wanted out of all there are.
fn pick<'a, T: Clone + Default>(
    all: impl Iterator<Item = (&'a str, &'a Wording)>,
    wanted: Option<&str>,
    view: impl Fn(&Wording) -> T,
) -> (T, ByLanguage<T>) {
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    let all = all.filter(|(language, _)| wanted.is_none_or(|wanted| wanted == *language));
    let mut words: ByLanguage<T> = all.map(|(language, words)| (language.to_string(), view(words))).collect();
    let one = wanted.and_then(|wanted| words.get(wanted)).cloned();
    if let Some(one) = &one {
        words.insert("Language".into(), one.clone());
    }
    (one.unwrap_or_default(), words)
}

pub(super) async fn get_gift_language(
    call: Call,
    request: GiftRequest,
) -> Result<Both<GiftWords, ByLanguage<NameAndDesc>>, ApiError> {
    let gift_id = require("GiftId", request.gift_id)?;
    let catalogue = call.app.catalogue();
    catalogue.gift(&gift_id)?;
    let view = |words: &Wording| NameAndDesc { name: words.name.clone(), desc: words.desc.clone() };
    let (one, words) = pick(catalogue.gift_wordings(&gift_id), request.language.as_deref(), view);
    Ok(Both(GiftWords { gift_info: one }, words))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CategoryRequest {
    category_id: Option<String>,
    default_name: Option<String>,
    default_desc: Option<String>,
    extension_info: Option<String>,
    language: Option<String>,
    #[serde(alias = "Name")]
    category_name: Option<String>,
    #[serde(alias = "Desc")]
    category_desc: Option<String>,
    gift_id_list: Option<Vec<String>>,
}

impl CategoryRequest {
    fn read(self) -> CategoryFields {
        CategoryFields {
            default_name: self.default_name,
            default_desc: self.default_desc,
            extension_info: self.extension_info,
        }
    }
}

/// A category as it is answered.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CategoryView {
    category_id: String,
    default_name: String,
    default_desc: String,
    extension_info: String,
    gift_id_list: Vec<String>,
    /// In the language that was asked for; else the default.
    category_name: String,
    category_desc: String,
    /// The same as `ExtensionInfo`.
    category_extension: String,
    /// Its names in other languages.
    language_list: Vec<CategoryWording>,
}

/// What a category is called in a language.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CategoryWording {
    language: String,
    category_name: String,
    category_desc: String,
}

impl CategoryView {
    fn new(catalogue: &Catalogue, category: &GiftCategory, language: Option<&str>) -> Self {
        let wordings: Vec<_> = catalogue.category_wordings(&category.category_id).collect();
        let default = (category.default_name.as_str(), category.default_desc.as_str());
        let (category_name, category_desc) = words_in(language, &wordings, default);
        Self {
            category_name,
            category_desc,
            category_extension: category.extension_info.clone(),
            language_list: wordings
                .into_iter()
                .map(|(language, words)| CategoryWording {
                    language: language.into(),
                    category_name: words.name.clone(),
                    category_desc: words.desc.clone(),
                })
                .collect(),
            category_id: category.category_id.clone(),
            default_name: category.default_name.clone(),
            default_desc: category.default_desc.clone(),
            extension_info: category.extension_info.clone(),
            gift_id_list: catalogue.gifts_in(&category.category_id).map(String::from).collect(),
        }
    }
}

pub(super) async fn add_gift_category(call: Call, mut request: CategoryRequest) -> Result<Done, ApiError> {
    let category_id = require("CategoryId", request.category_id.take())?;
    change(&call, CatalogueCommand::AddCategory { category_id, fields: request.read() }).await
}

pub(super) async fn edit_gift_category(call: Call, mut request: CategoryRequest) -> Result<Done, ApiError> {
    let category_id = require("CategoryId", request.category_id.take())?;
    change(&call, CatalogueCommand::EditCategory { category_id, fields: request.read() }).await
}

pub(super) async fn del_gift_category(call: Call, request: CategoryRequest) -> Result<Done, ApiError> {
    let category_id = require("CategoryId", request.category_id)?;
    change(&call, CatalogueCommand::DeleteCategory { category_id }).await
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneCategory {
    /// Absent when all were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    gift_category_info: Option<CategoryView>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Categories {
    category_list: Vec<CategoryView>,
}

/// One category, or all of them when none is named.
pub(super) async fn get_gift_category(
    call: Call,
    request: CategoryRequest,
) -> Result<Both<OneCategory, Categories>, ApiError> {
    let catalogue = call.app.catalogue();
    let view = |category| CategoryView::new(&catalogue, category, request.language.as_deref());
    let (one, all) = match request.category_id.as_deref() {
        None | Some("") => (None, catalogue.categories().map(view).collect()),
        Some(id) => {
            let one = view(catalogue.category(id)?);
            (Some(one.clone()), vec![one])
        }
    };
    Ok(Both(OneCategory { gift_category_info: one }, Categories { category_list: all }))
}

pub(super) async fn set_category_language(call: Call, request: CategoryRequest) -> Result<Done, ApiError> {
    let (category_id, language) =
        (require("CategoryId", request.category_id)?, require("Language", request.language)?);
    let words = Words { name: request.category_name, desc: request.category_desc };
    change(&call, CatalogueCommand::WordCategory { category_id, language, words }).await
}

pub(super) async fn del_category_language(call: Call, request: CategoryRequest) -> Result<Done, ApiError> {
    let (category_id, language) =
        (require("CategoryId", request.category_id)?, require("Language", request.language)?);
    change(&call, CatalogueCommand::UnwordCategory { category_id, language }).await
}

#[derive(Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CategoryNameAndDesc {
    category_name: String,
    category_desc: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CategoryWords {
    category_info: CategoryNameAndDesc,
}

pub(super) async fn get_category_language(
    call: Call,
    request: CategoryRequest,
) -> Result<Both<CategoryWords, ByLanguage<CategoryNameAndDesc>>, ApiError> {
    let id = require("CategoryId", request.category_id)?;
    let catalogue = call.app.catalogue();
    catalogue.category(&id)?;
    let view = |words: &Wording| CategoryNameAndDesc {
        category_name: words.name.clone(),
        category_desc: words.desc.clone(),
    };
    let (one, words) = pick(catalogue.category_wordings(&id), request.language.as_deref(), view);
    Ok(Both(CategoryWords { category_info: one }, words))
}

pub(super) async fn add_relations(call: Call, request: CategoryRequest) -> Result<Done, ApiError> {
    relate(call, request, true).await
}

pub(super) async fn del_relations(call: Call, request: CategoryRequest) -> Result<Done, ApiError> {
    relate(call, request, false).await
}

async fn relate(call: Call, request: CategoryRequest, on: bool) -> Result<Done, ApiError> {
    let category_id = require("CategoryId", request.category_id)?;
    let gifts = request.gift_id_list.ok_or_else(|| ApiError::invalid("GiftIdList", "is missing"))?;
    change(&call, CatalogueCommand::Relate { category_id, gifts, on }).await
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct SendRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "GiftId")]
    #[schemars(required)]
    gift_id: Option<String>,
    #[serde(rename = "Count")]
    count: Option<u64>,
    #[serde(rename = "From_Account")]
    #[schemars(required)]
    from: Option<String>,
    #[serde(rename = "ReceiverList_Account")]
    receivers: Option<Vec<String>>,
}

/// How many receivers a gift may have.
const MAX_RECEIVERS: usize = 100;

pub(super) async fn send_gift(call: Call, request: SendRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let cell = call.app.room(room_id.as_str())?;
    drop(call.read(&cell, LIVE)?);
    let gift_id = require("GiftId", request.gift_id)?;
    let from = call.app.require_account_field("From_Account", request.from.as_deref())?;
    let to = match request.receivers {
        None => Vec::new(),
        Some(receivers) if receivers.is_empty() => Vec::new(),
        receivers => call.app.require_accounts("ReceiverList_Account", receivers, MAX_RECEIVERS)?,
    };
    let count = request.count.unwrap_or(1);
    let gift = call.app.catalogue().gift(&gift_id)?.clone();
    let give = Give { gift: Box::new(gift), count, from, to };
    cell.ask(call.by.clone(), LIVE, webhooks::gift(&call.app, give)).await?;
    Ok(Done)
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct CountRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    /// Whose gifts; none is everyone's.
    #[serde(rename = "From_Account")]
    from: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftCount {
    /// How often something was given in the room.
    sequence: u64,
    total_count: u64,
    total_coins: u64,
    gift_sender_count: usize,
}

pub(super) async fn get_gift_count(
    call: Call,
    request: CountRequest,
) -> Result<Response<GiftCount>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id.as_deref())?.as_str())?;
    let from = match request.from.as_deref() {
        None | Some("") => None,
        Some(from) => Some(call.app.require_account("From_Account", from)?.user.clone()),
    };
    let room = call.read(&cell, LIVE)?;
    let counters = room.counters();
    let (total_count, total_coins) = match from {
        None => (counters.gifts, counters.coins),
        Some(from) => {
            let tally = room.given_by(from.as_str());
            (tally.gifts, tally.coins)
        }
    };
    let (sequence, gift_sender_count) = (counters.gift_events, room.sender_count());
    Ok(Response(GiftCount { sequence, total_count, total_coins, gift_sender_count }))
}
