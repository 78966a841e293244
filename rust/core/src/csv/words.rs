//! The words of a column, each kept once.

use std::collections::HashMap;
use std::sync::Arc;

use super::NO_WORD;

/// Words that are kept from batch to batch; a column with more has words that do not come again.
const WORDS_KEPT: usize = 65_536;

/// Words in the order in which they were met.
#[derive(Clone, Debug, Default)]
pub struct Words {
    known: Arc<Vec<String>>,
    places: HashMap<String, i32>,
    last: i32,
}

impl Words {
    /// The place of `word`, [`NO_WORD`] where it stands for nothing; `None`: it is no text.
    #[inline]
    pub fn place(&mut self, word: &[u8]) -> Option<i32> {
        // Most rows have the word of the row before.
        if self.known.get(self.last as usize).is_some_and(|last| last.as_bytes() == word) {
            return Some(self.last);
        }
        self.look_up(word)
    }

    fn look_up(&mut self, word: &[u8]) -> Option<i32> {
        let word = std::str::from_utf8(word).ok()?;
        self.last = match self.places.get(word) {
            Some(&place) => place,
            None if word.is_empty() => return Some(NO_WORD),
            None => {
                let place = self.known.len() as i32;
                Arc::make_mut(&mut self.known).push(word.to_owned());
                self.places.insert(word.to_owned(), place);
                place
            }
        };
        Some(self.last)
    }

    /// The words so far, for the batch that ends.
    pub fn share(&mut self) -> Arc<Vec<String>> {
        let shared = Arc::clone(&self.known);
        if shared.len() > WORDS_KEPT {
            *self = Self::default();
        }
        shared
    }
}
