//! Lists that the loop fills and empties again: their memory stays, but for that of a flood.

use std::collections::VecDeque;

/// Entries for which room is kept whatever comes: steps that ask for more than this are rare, and one allocation is nothing
/// beside what they ask for.
const KEPT: usize = 4_096;

/// Gives back what an empty list has room for beyond what is usual.
#[inline]
pub(super) fn give_back<T>(list: &mut Vec<T>) {
    if list.capacity() > KEPT && list.is_empty() {
        list.shrink_to(KEPT);
    }
}

/// The same of a queue.
#[inline]
pub(super) fn give_back_queue<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > KEPT && queue.is_empty() {
        queue.shrink_to(KEPT);
    }
}
