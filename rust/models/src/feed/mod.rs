//! What a publisher that found no slot waits for, and what stands between it and a loop that ends its stream.

#[path = "../../../core/src/feed/latch.rs"]
mod latch;
#[path = "../../../core/src/feed/space.rs"]
mod space;

pub use space::Space;

/// What the loop does when it has freed slots.
pub fn announce(space: &Space) {
    space.announce();
}

/// As in the core, for models to see.
#[derive(Debug, Default)]
pub struct Latch(latch::Latch);

impl Latch {
    pub fn enter(&self) -> bool {
        self.0.enter()
    }

    pub fn leave(&self) {
        self.0.leave();
    }

    pub fn shut(&self) -> bool {
        self.0.shut()
    }
}
