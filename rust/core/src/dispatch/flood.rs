//! Lists that the loop fills and empties again: their memory stays, but for that of a flood.

use std::collections::VecDeque;

/// Entries for which room is kept whatever comes: steps that ask for more than this are rare, and one allocation is nothing
/// beside what they ask for.
const KEPT: usize = 4_096;

/// From so many bytes on the allocator is asked to give its free pages back too, which it keeps otherwise, between others
/// that are in use: some ms, where what filled the list took ten times as long.
const TRIMMED_BYTES: usize = 4 * 1024 * 1024;

/// Gives back what an empty list has room for beyond what is usual.
#[inline]
pub(super) fn give_back<T>(list: &mut Vec<T>) {
    if list.capacity() > KEPT && list.is_empty() {
        let before = list.capacity();
        list.shrink_to(KEPT);
        trim(before * size_of::<T>());
    }
}

/// The same of a queue.
#[inline]
pub(super) fn give_back_queue<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > KEPT && queue.is_empty() {
        let before = queue.capacity();
        queue.shrink_to(KEPT);
        trim(before * size_of::<T>());
    }
}

#[cold]
fn trim(given_bytes: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if given_bytes >= TRIMMED_BYTES {
        // SAFETY: it touches nothing but the allocator's own free memory, from any thread.
        unsafe { libc::malloc_trim(0) };
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = given_bytes;
}
