//! What a publisher that found no slot waits for.

#[path = "../../../core/src/feed/space.rs"]
mod space;

pub use space::Space;

/// What the loop does when it has freed slots.
pub fn announce(space: &Space) {
    space.announce();
}
