//! Room for many records in few pages.

use crate::tick::Tick;

/// What is smaller gains nothing: the bound that numpy takes for its arrays.
const LARGE_BYTES: usize = 4 << 20;

/// An empty vector with room for `count` records.
///
/// A large one asks the kernel for large pages: in pages of 4 KiB, 64 records, a run over a million records finds the way to
/// a page 16,000 times, and a virtual machine pays twice for each. Where the kernel has none to give, nothing is lost.
pub fn room_for(count: usize) -> Vec<Tick> {
    let ticks = Vec::with_capacity(count);
    #[cfg(target_os = "linux")]
    ask_for_large_pages(&ticks);
    ticks
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages(ticks: &Vec<Tick>) {
    const PAGE: usize = 4_096;
    let bytes = ticks.capacity() * size_of::<Tick>();
    if bytes < LARGE_BYTES {
        return;
    }
    let start = ticks.as_ptr().cast::<u8>();
    let aside = start.align_offset(PAGE);
    // SAFETY: the whole pages within a buffer that the vector owns; the advice changes nothing that a program can see, and a
    // kernel that does not know it says so and does nothing.
    unsafe {
        libc::madvise(start.wrapping_add(aside).cast_mut().cast(), (bytes - aside) & !(PAGE - 1), libc::MADV_HUGEPAGE)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_what_was_asked() {
        for count in [0, 1, LARGE_BYTES / size_of::<Tick>(), 100_000] {
            let mut ticks = room_for(count);
            assert!(ticks.is_empty() && ticks.capacity() >= count);
            ticks.resize(count, Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0));
            assert!(ticks.iter().all(|tick| tick.ts_event == 1));
        }
    }
}
