//! Passwords that many people have.

use zxcvbn::zxcvbn;

use super::Blocklist;
use crate::secret::Secret;
use crate::store::Username;

/// Blocks what is guessed within a number of tries, as zxcvbn estimates them: the 30,000 most common
/// passwords, words and names, keyboard rows, sequences, repetitions, dates, what the username has in it,
/// and combinations of these.
///
/// Of a password the first 100 characters count, which takes up to some 30 ms of an optimised build. Copies
/// that zxcvbn makes of the password are not wiped.
///
/// ```
/// use portcullis_core::password::{Blocklist, CommonPasswords};
/// use portcullis_core::{Secret, Username};
///
/// let blocks = |password: &str| {
///     let password = Secret::from(password.to_owned());
///     CommonPasswords::default().blocks(&password, &Username::new("ada"))
/// };
/// assert!(blocks("passwordpassword"));
/// assert!(blocks("123456789012345"));
/// assert!(!blocks("correct horse battery staple"));
/// ```
#[derive(Clone, Debug)]
pub struct CommonPasswords {
    least_guesses: u64,
    words: Vec<String>,
}

impl CommonPasswords {
    /// Blocks what is guessed in fewer than `guesses`. Default a million, below which zxcvbn calls a
    /// password very guessable. A stranger who is as patient as [`Throttle`](crate::Throttle) asks for
    /// makes some 9,000 a year at one account: a failure is forgotten within the hour for each.
    #[must_use]
    pub fn with_least_guesses(mut self, guesses: u64) -> Self {
        self.least_guesses = guesses;
        self
    }

    /// Takes `words` for easily guessed ones, such as the name of the service.
    #[must_use]
    pub fn with_words<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }
}

impl Default for CommonPasswords {
    fn default() -> Self {
        Self {
            least_guesses: 1_000_000,
            words: Vec::new(),
        }
    }
}

impl Blocklist for CommonPasswords {
    fn blocks(&self, password: &Secret, username: &Username) -> bool {
        let name = username.as_str();
        let parts = name.split(|c: char| !c.is_alphanumeric());
        let words: Vec<&str> = parts
            .chain([name])
            .chain(self.words.iter().map(String::as_str))
            .filter(|word| !word.is_empty())
            .collect();
        zxcvbn(password.expose(), &words).guesses() < self.least_guesses
    }
}
