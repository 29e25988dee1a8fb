//! What is wanted of a catalogue of gifts, as values.

use crate::{Catalogue, CatalogueChange, Error, Gift, GiftCategory, Time, Wording};

/// A change that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the catalogue")]
pub enum CatalogueCommand {
    AddGift { gift_id: String, fields: GiftFields, created_at: Time },
    EditGift { gift_id: String, fields: GiftFields },
    DeleteGift { gift_id: String },
    WordGift { gift_id: String, language: String, words: Words },
    UnwordGift { gift_id: String, language: String },
    AddCategory { category_id: String, fields: CategoryFields },
    EditCategory { category_id: String, fields: CategoryFields },
    DeleteCategory { category_id: String },
    WordCategory { category_id: String, language: String, words: Words },
    UnwordCategory { category_id: String, language: String },
    Relate { category_id: String, gifts: Vec<String>, on: bool },
}

/// New values of a gift; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are a gift's")]
pub struct GiftFields {
    pub icon_url: Option<String>,
    pub resource_url: Option<String>,
    pub coins: Option<u64>,
    pub level: Option<u64>,
    pub extension_info: Option<String>,
    pub default_name: Option<String>,
    pub default_desc: Option<String>,
}

/// New values of a category; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are a category's")]
pub struct CategoryFields {
    pub default_name: Option<String>,
    pub default_desc: Option<String>,
    pub extension_info: Option<String>,
}

/// New words in some language; what is absent stays, but a name there must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are a wording's")]
pub struct Words {
    pub name: Option<String>,
    pub desc: Option<String>,
}

impl GiftFields {
    fn over(self, gift: Gift) -> Gift {
        Gift {
            gift_id: gift.gift_id,
            icon_url: self.icon_url.unwrap_or(gift.icon_url),
            resource_url: self.resource_url.unwrap_or(gift.resource_url),
            coins: self.coins.unwrap_or(gift.coins),
            level: self.level.unwrap_or(gift.level),
            extension_info: self.extension_info.unwrap_or(gift.extension_info),
            default_name: self.default_name.unwrap_or(gift.default_name),
            default_desc: self.default_desc.unwrap_or(gift.default_desc),
            created_at: gift.created_at,
        }
    }
}

impl CategoryFields {
    fn over(self, category: GiftCategory) -> GiftCategory {
        GiftCategory {
            category_id: category.category_id,
            default_name: self.default_name.unwrap_or(category.default_name),
            default_desc: self.default_desc.unwrap_or(category.default_desc),
            extension_info: self.extension_info.unwrap_or(category.extension_info),
        }
    }
}

impl Words {
    /// `field` is what the name is called in a request.
    fn over(self, known: Option<&Wording>, field: &str) -> Result<Wording, Error> {
        let name = self.name.or_else(|| known.map(|words| words.name.clone()));
        let name = name.ok_or_else(|| Error::invalid(field, "is missing"))?;
        let desc = self.desc.or_else(|| known.map(|words| words.desc.clone())).unwrap_or_default();
        Ok(Wording { name, desc })
    }
}

impl Catalogue {
    /// What is going to change.
    ///
    /// # Errors
    /// Those of the methods of the same name; [`Error::Invalid`] for words without a name.
    pub fn plan(&self, command: CatalogueCommand) -> Result<Vec<CatalogueChange>, Error> {
        use CatalogueCommand as C;
        match command {
            C::AddGift { gift_id, fields, created_at } => {
                let gift = Gift { gift_id, created_at: Some(created_at), ..Gift::default() };
                self.put_gift(fields.over(gift), false)
            }
            C::EditGift { gift_id, fields } => self.put_gift(fields.over(self.gift(&gift_id)?.clone()), true),
            C::DeleteGift { gift_id } => self.delete_gift(&gift_id),
            C::WordGift { gift_id, language, words } => {
                let known = self.gift_wordings(&gift_id).find(|(known, _)| *known == language);
                let wording = words.over(known.map(|(_, words)| words), "Name")?;
                self.word_gift(&gift_id, &language, Some(wording))
            }
            C::UnwordGift { gift_id, language } => self.word_gift(&gift_id, &language, None),
            C::AddCategory { category_id, fields } => {
                self.put_category(fields.over(GiftCategory { category_id, ..GiftCategory::default() }), false)
            }
            C::EditCategory { category_id, fields } => {
                self.put_category(fields.over(self.category(&category_id)?.clone()), true)
            }
            C::DeleteCategory { category_id } => self.delete_category(&category_id),
            C::WordCategory { category_id, language, words } => {
                let known = self.category_wordings(&category_id).find(|(known, _)| *known == language);
                let wording = words.over(known.map(|(_, words)| words), "CategoryName")?;
                self.word_category(&category_id, &language, Some(wording))
            }
            C::UnwordCategory { category_id, language } => self.word_category(&category_id, &language, None),
            C::Relate { category_id, gifts, on } => self.relate(&category_id, &gifts, on),
        }
    }
}
