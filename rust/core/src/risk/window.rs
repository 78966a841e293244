//! How many things happened within the last second, exactly.

use std::collections::VecDeque;

const SECOND_NS: i64 = 1_000_000_000;

/// Times of the last things: as many as may happen within a second.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<i64>);

impl Window {
    /// Whether one more at `now_ns` would be more than `most` within a second.
    pub fn is_full(&self, most: f64, now_ns: i64) -> bool {
        let most = most as usize;
        most == 0 || (self.0.len() >= most && now_ns - self.0[self.0.len() - most] < SECOND_NS)
    }

    /// One more has happened.
    pub fn push(&mut self, most: f64, now_ns: i64) {
        while self.0.len() >= (most as usize).max(1) {
            self.0.pop_front();
        }
        self.0.push_back(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Full exactly where counting all that happened within the second before says so.
        #[test]
        fn equals_a_count(times in prop::collection::vec(0_i64..3_000, 0..80), most in 0_usize..6) {
            let mut times = times;
            times.sort_unstable();
            let mut window = Window::default();
            for (count, &time) in times.iter().enumerate() {
                let now_ns = time * 1_000_000;
                let recent = times[..count].iter().filter(|&&other| now_ns - other * 1_000_000 < SECOND_NS).count();
                prop_assert_eq!(window.is_full(most as f64, now_ns), recent >= most);
                window.push(most as f64, now_ns);
            }
        }
    }
}
