//! The secret half of an API key.

/// A SecretKey. What keys the HMACs is its text.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// Takes the key's text as `roomful key create` shows it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key's text: for showing it to its owner and for storing it, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}
