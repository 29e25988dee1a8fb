//! Gifts and likes: an app's catalogue (gifts, categories, their names in other languages), and what a room has got.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Delta, Error, Event, Outcome, Room, Time, UserId};

/// A gift as the app sells it (`spec/live-rest-api.md`, add_gift).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Gift {
    /// At most 20 bytes.
    pub gift_id: String,
    /// At most 200 bytes.
    pub icon_url: String,
    /// At most 200 bytes.
    pub resource_url: String,
    /// Its price.
    pub coins: u64,
    /// Its rank.
    pub level: u64,
    /// JSON of the app's own, at most 100 bytes.
    pub extension_info: String,
    /// At most 20 bytes.
    pub default_name: String,
    /// At most 20 bytes.
    pub default_desc: String,
    /// When it was added; unknown of those that are older than this field.
    pub created_at: Option<Time>,
}

/// A group of gifts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GiftCategory {
    /// At most 20 bytes.
    pub category_id: String,
    /// At most 20 bytes.
    pub default_name: String,
    /// At most 60 bytes.
    pub default_desc: String,
    /// JSON of the app's own, at most 100 bytes.
    pub extension_info: String,
}

/// A name and a description in one language.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wording {
    /// At most 100 bytes.
    pub name: String,
    /// At most 200 bytes.
    pub desc: String,
}

/// A fact of the catalogue; one for each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub enum CatalogueRecord {
    Gift(Gift),
    Category(GiftCategory),
    GiftWording { gift_id: String, language: String, wording: Wording },
    CategoryWording { category_id: String, language: String, wording: Wording },
    Relation { category_id: String, gift_id: String },
}

/// What changes in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its name says")]
pub enum CatalogueChange {
    Put(CatalogueRecord),
    Delete(String),
}

impl CatalogueRecord {
    /// Which fact it is: its kind and its names, unlike any other's.
    pub fn key(&self) -> String {
        match self {
            Self::Gift(gift) => key("gift", &gift.gift_id, ""),
            Self::Category(category) => key("category", &category.category_id, ""),
            Self::GiftWording { gift_id, language, .. } => key("gift-words", gift_id, language),
            Self::CategoryWording { category_id, language, .. } => {
                key("category-words", category_id, language)
            }
            Self::Relation { category_id, gift_id } => key("relation", category_id, gift_id),
        }
    }
}

fn key(kind: &str, one: &str, other: &str) -> String {
    // No id holds a line feed.
    format!("{kind}\n{one}\n{other}")
}

/// An app's gifts.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(BTreeMap<String, CatalogueRecord>);

/// How many facts a catalogue may hold.
const MAX_RECORDS: usize = 10_000;

impl Catalogue {
    /// Applies a change that is durable by now.
    pub fn apply(&mut self, change: CatalogueChange) {
        match change {
            CatalogueChange::Put(record) => drop(self.0.insert(record.key(), record)),
            CatalogueChange::Delete(key) => drop(self.0.remove(&key)),
        }
    }

    /// A gift.
    ///
    /// # Errors
    /// [`Error::GiftNotFound`].
    pub fn gift(&self, id: &str) -> Result<&Gift, Error> {
        match self.0.get(&key("gift", id, "")) {
            Some(CatalogueRecord::Gift(gift)) => Ok(gift),
            _ => Err(Error::GiftNotFound(id.into())),
        }
    }

    /// A category.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none of that id.
    pub fn category(&self, id: &str) -> Result<&GiftCategory, Error> {
        match self.0.get(&key("category", id, "")) {
            Some(CatalogueRecord::Category(category)) => Ok(category),
            _ => Err(Error::invalid(
                "CategoryId",
                format_args!("{id:?} does not exist; add_gift_category makes one"),
            )),
        }
    }

    /// All gifts, by id.
    pub fn gifts(&self) -> impl Iterator<Item = &Gift> {
        self.0.values().filter_map(|record| match record {
            CatalogueRecord::Gift(gift) => Some(gift),
            _ => None,
        })
    }

    /// All categories, by id.
    pub fn categories(&self) -> impl Iterator<Item = &GiftCategory> {
        self.0.values().filter_map(|record| match record {
            CatalogueRecord::Category(category) => Some(category),
            _ => None,
        })
    }

    /// The gifts of a category, by id.
    pub fn gifts_in<'a>(&'a self, category: &str) -> impl Iterator<Item = &'a str> {
        self.under("relation", category).filter_map(|record| match record {
            CatalogueRecord::Relation { gift_id, .. } => Some(gift_id.as_str()),
            _ => None,
        })
    }

    /// A gift's name in a language.
    pub fn gift_wording(&self, gift: &str, language: &str) -> Option<&Wording> {
        match self.0.get(&key("gift-words", gift, language)) {
            Some(CatalogueRecord::GiftWording { wording, .. }) => Some(wording),
            _ => None,
        }
    }

    /// All languages of a gift.
    pub fn gift_wordings<'a>(&'a self, gift: &str) -> impl Iterator<Item = (&'a str, &'a Wording)> {
        self.under("gift-words", gift).filter_map(|record| match record {
            CatalogueRecord::GiftWording { language, wording, .. } => Some((language.as_str(), wording)),
            _ => None,
        })
    }

    /// All languages of a category.
    pub fn category_wordings<'a>(&'a self, category: &str) -> impl Iterator<Item = (&'a str, &'a Wording)> {
        self.under("category-words", category).filter_map(|record| match record {
            CatalogueRecord::CategoryWording { language, wording, .. } => Some((language.as_str(), wording)),
            _ => None,
        })
    }

    /// The facts of a kind that begin with a name; a catalogue of thousands is not searched for them.
    fn under(&self, kind: &str, one: &str) -> impl Iterator<Item = &CatalogueRecord> {
        let first = key(kind, one, "");
        self.0
            .range(first.clone()..)
            .take_while(move |(key, _)| key.starts_with(&first))
            .map(|(_, record)| record)
    }

    /// Plans to add a gift, or with `edit` to change one.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond a limit, or for a gift that exists already; [`Error::GiftNotFound`] to edit.
    pub fn put_gift(&self, gift: Gift, edit: bool) -> Result<Vec<CatalogueChange>, Error> {
        check_id("GiftId", &gift.gift_id)?;
        check_length("IconUrl", &gift.icon_url, 200)?;
        check_length("ResourceUrl", &gift.resource_url, 200)?;
        check_length("ExtensionInfo", &gift.extension_info, 100)?;
        check_length("DefaultName", &gift.default_name, 20)?;
        check_length("DefaultDesc", &gift.default_desc, 20)?;
        match self.gift(&gift.gift_id) {
            Ok(_) if !edit => {
                return Err(Error::invalid(
                    "GiftId",
                    format_args!("{:?} exists already; edit_gift changes it", gift.gift_id),
                ));
            }
            Err(missing) if edit => return Err(missing),
            _ => {}
        }
        self.put(CatalogueRecord::Gift(gift))
    }

    /// Plans to delete a gift with its wordings and relations.
    ///
    /// # Errors
    /// [`Error::GiftNotFound`].
    pub fn delete_gift(&self, id: &str) -> Result<Vec<CatalogueChange>, Error> {
        self.gift(id)?;
        Ok(self.delete_where(|record| match record {
            CatalogueRecord::Gift(gift) => gift.gift_id == id,
            CatalogueRecord::GiftWording { gift_id, .. } | CatalogueRecord::Relation { gift_id, .. } => {
                gift_id == id
            }
            _ => false,
        }))
    }

    /// Plans to add a category, or with `edit` to change one.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond a limit, for one that exists already, or to edit one that does not.
    pub fn put_category(&self, category: GiftCategory, edit: bool) -> Result<Vec<CatalogueChange>, Error> {
        check_id("CategoryId", &category.category_id)?;
        check_length("DefaultName", &category.default_name, 20)?;
        check_length("DefaultDesc", &category.default_desc, 60)?;
        check_length("ExtensionInfo", &category.extension_info, 100)?;
        match self.category(&category.category_id) {
            Ok(_) if !edit => {
                let trouble =
                    format_args!("{:?} exists already; edit_gift_category changes it", category.category_id);
                return Err(Error::invalid("CategoryId", trouble));
            }
            Err(missing) if edit => return Err(missing),
            _ => {}
        }
        self.put(CatalogueRecord::Category(category))
    }

    /// Plans to delete a category with its wordings and relations; its gifts stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none of that id.
    pub fn delete_category(&self, id: &str) -> Result<Vec<CatalogueChange>, Error> {
        self.category(id)?;
        Ok(self.delete_where(|record| match record {
            CatalogueRecord::Category(category) => category.category_id == id,
            CatalogueRecord::CategoryWording { category_id, .. }
            | CatalogueRecord::Relation { category_id, .. } => category_id == id,
            _ => false,
        }))
    }

    /// Plans what a gift is called in a language; `None` forgets it.
    ///
    /// # Errors
    /// [`Error::GiftNotFound`], [`Error::Invalid`] beyond a limit.
    pub fn word_gift(
        &self,
        gift_id: &str,
        language: &str,
        wording: Option<Wording>,
    ) -> Result<Vec<CatalogueChange>, Error> {
        self.gift(gift_id)?;
        check_language(language)?;
        let Some(wording) = wording else {
            return Ok(vec![CatalogueChange::Delete(key("gift-words", gift_id, language))]);
        };
        check_length("Name", &wording.name, 100)?;
        check_length("Desc", &wording.desc, 200)?;
        self.put(CatalogueRecord::GiftWording { gift_id: gift_id.into(), language: language.into(), wording })
    }

    /// Plans what a category is called in a language; `None` forgets it.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond a limit, or when there is no such category.
    pub fn word_category(
        &self,
        category_id: &str,
        language: &str,
        wording: Option<Wording>,
    ) -> Result<Vec<CatalogueChange>, Error> {
        self.category(category_id)?;
        check_language(language)?;
        let Some(wording) = wording else {
            return Ok(vec![CatalogueChange::Delete(key("category-words", category_id, language))]);
        };
        check_length("CategoryName", &wording.name, 100)?;
        check_length("CategoryDesc", &wording.desc, 200)?;
        self.put(CatalogueRecord::CategoryWording {
            category_id: category_id.into(),
            language: language.into(),
            wording,
        })
    }

    /// Plans to put gifts into a category, or to take them out.
    ///
    /// # Errors
    /// [`Error::GiftNotFound`]; [`Error::Invalid`] when there is no such category, or no gift is named.
    pub fn relate(
        &self,
        category_id: &str,
        gifts: &[String],
        on: bool,
    ) -> Result<Vec<CatalogueChange>, Error> {
        self.category(category_id)?;
        if gifts.is_empty() {
            return Err(Error::invalid("GiftIdList", "names no gift"));
        }
        let mut changes = Vec::with_capacity(gifts.len());
        for gift in gifts {
            if on {
                self.gift(gift)?;
                let relation =
                    CatalogueRecord::Relation { category_id: category_id.into(), gift_id: gift.clone() };
                changes.extend(self.put(relation)?);
            } else {
                changes.push(CatalogueChange::Delete(key("relation", category_id, gift)));
            }
        }
        Ok(changes)
    }

    fn put(&self, record: CatalogueRecord) -> Result<Vec<CatalogueChange>, Error> {
        if self.0.len() >= MAX_RECORDS && !self.0.contains_key(&record.key()) {
            return Err(Error::Invalid(format!(
                "the gift catalogue is full: {MAX_RECORDS} entries are allowed"
            )));
        }
        Ok(vec![CatalogueChange::Put(record)])
    }

    fn delete_where(&self, which: impl Fn(&CatalogueRecord) -> bool) -> Vec<CatalogueChange> {
        let doomed = self.0.iter().filter(|(_, record)| which(record));
        doomed.map(|(key, _)| CatalogueChange::Delete(key.clone())).collect()
    }
}

fn check_id(field: &str, id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(Error::invalid(field, "is empty"));
    }
    if id.chars().any(char::is_control) {
        return Err(Error::invalid(field, "has a control character"));
    }
    check_length(field, id, 20)
}

fn check_language(language: &str) -> Result<(), Error> {
    check_id("Language", language)
}

fn check_length(field: &str, text: &str, max: usize) -> Result<(), Error> {
    if text.len() > max { Err(Error::too_long(field, text.len(), max)) } else { Ok(()) }
}

/// What a user has given in one room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiftTally {
    /// How many gifts.
    pub gifts: u64,
    /// Their price together.
    pub coins: u64,
    /// How often.
    #[serde(default)]
    pub events: u64,
}

impl GiftTally {
    /// The tally when that has been given as well.
    fn with(self, given: &Given) -> Self {
        let coins = given.gift.coins.saturating_mul(given.count);
        Self {
            gifts: self.gifts.saturating_add(given.count),
            coins: self.coins.saturating_add(coins),
            events: self.events.saturating_add(1),
        }
    }
}

/// A gift was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The room's how-manieth.
    pub sequence: u64,
    /// What.
    pub gift: Gift,
    /// How many of it.
    pub count: u64,
    /// By whom.
    pub from: UserId,
    /// To whom; the owner when nobody is named.
    pub to: Vec<UserId>,
    /// When.
    pub at: Time,
}

/// The most of one gift that is given at once.
const MAX_COUNT: u64 = 100_000;

/// The most likes that are sent at once.
const MAX_LIKES: u64 = 1000;

impl Room {
    /// The checks of [`Self::give`], for a caller that has something to ask before.
    ///
    /// # Errors
    /// As [`Self::give`].
    pub fn check_give(&self, count: u64) -> Result<(), Error> {
        if !self.info().is_gift_enabled {
            return Err(Error::GiftsDisabled);
        }
        if count == 0 || count > MAX_COUNT {
            return Err(Error::invalid("Count", format_args!("is {count}; 1 to {MAX_COUNT} are allowed")));
        }
        Ok(())
    }

    /// Plans that a user gives something; the receivers are the owner when none is named.
    ///
    /// # Errors
    /// [`Error::GiftsDisabled`]; [`Error::Invalid`] for a count out of its limits.
    pub fn give(
        &mut self,
        gift: &Gift,
        count: u64,
        from: &UserId,
        to: Vec<UserId>,
        now: Time,
    ) -> Result<(Given, Outcome), Error> {
        self.check_give(count)?;
        let to = if to.is_empty() { vec![self.info().owner.clone()] } else { to };
        let sequence = self.counters.gift_events + 1 + self.gifts_on_the_way;
        self.gifts_on_the_way += 1;
        let given = Given { sequence, gift: gift.clone(), count, from: from.clone(), to, at: now };
        let told = Box::new(given.clone());
        let tally = self.given_by(from.as_str()).with(&given);
        Ok((given, Outcome::of(Delta::Gift { given: told.clone(), tally }, Event::Given(told))))
    }

    /// What was given is on disk.
    pub(crate) fn count_gift(&mut self, given: &Given, tally: GiftTally) {
        self.gifts_on_the_way = self.gifts_on_the_way.saturating_sub(1);
        let coins = given.gift.coins.saturating_mul(given.count);
        self.counters.gift_events = self.counters.gift_events.saturating_add(1);
        self.counters.gifts = self.counters.gifts.saturating_add(given.count);
        self.counters.coins = self.counters.coins.saturating_add(coins);
        self.senders.insert(given.from.clone(), tally);
    }

    /// After a restart: a gift is on disk with its sender's tally, the room's numbers a moment later.
    pub(crate) fn restore_gift_counters(&mut self) {
        let sum = |part: fn(&GiftTally) -> u64| self.senders.values().map(part).fold(0, u64::saturating_add);
        self.counters.gifts = self.counters.gifts.max(sum(|tally| tally.gifts));
        self.counters.coins = self.counters.coins.max(sum(|tally| tally.coins));
        self.counters.gift_events = self.counters.gift_events.max(sum(|tally| tally.events));
    }

    /// A member likes what it sees.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::LikesDisabled`]; [`Error::Invalid`] for a count out of its limits.
    pub fn like(&mut self, from: &UserId, count: u64) -> Result<Event, Error> {
        self.require_member(from)?;
        if !self.info().is_like_enabled {
            return Err(Error::LikesDisabled);
        }
        if count == 0 || count > MAX_LIKES {
            return Err(Error::invalid("Count", format_args!("is {count}; 1 to {MAX_LIKES} are allowed")));
        }
        self.counters.likes = self.counters.likes.saturating_add(count);
        Ok(Event::Liked { from: from.clone(), count, total: self.counters.likes })
    }

    /// What a user has given here.
    pub fn given_by(&self, user: &str) -> GiftTally {
        self.senders.get(user).copied().unwrap_or_default()
    }

    /// How many users have given something here.
    pub fn sender_count(&self) -> usize {
        self.senders.len()
    }
}
