//! Space around what one side writes often.

use std::ops::Deref;

/// A value with two cache lines to itself: the hardware fetches lines in pairs, so one line apart is too near.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Padded<T>(T);

impl<T> Padded<T> {
    pub(super) fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
