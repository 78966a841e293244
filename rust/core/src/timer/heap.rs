//! A binary heap whose entries know their place in it, so that one in the middle can be taken out.
//!
//! `std::collections::BinaryHeap` cannot do that: cancelled timers would stay in it as dead entries until their time.

/// One timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Its place in the order, with `rank`.
    pub(super) at_ns: i64,
    /// How many timers were registered before it.
    pub(super) rank: u64,
    /// The time it was set for.
    pub(super) due_ns: i64,
    pub(super) interval_ns: Option<i64>,
    pub(super) owner: u32,
    pub(super) fired: u64,
}

impl Slot {
    fn goes_before(&self, other: &Self) -> bool {
        (self.at_ns, self.rank) < (other.at_ns, other.rank)
    }
}

/// Timers by slot number, and the slot numbers as a heap.
#[derive(Debug)]
pub(super) struct Heap {
    /// With each timer its place in `heap`; `None` is a free slot.
    slots: Vec<Option<(Slot, usize)>>,
    free: Vec<u32>,
    heap: Vec<u32>,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), heap: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)?.as_ref().map(|(slot, _)| slot)
    }

    /// The first timer and its slot number. Whoever puts its time back calls `settle_first`.
    pub(super) fn first(&mut self) -> Option<(u32, &mut Slot)> {
        let index = *self.heap.first()?;
        self.slots[index as usize].as_mut().map(|(slot, _)| (index, slot))
    }

    /// Restores the order after the first timer was given a later time.
    pub(super) fn settle_first(&mut self) {
        self.sink(0);
    }

    /// Puts `slot` in and gives its number.
    pub(super) fn insert(&mut self, slot: Slot) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        let place = self.heap.len();
        self.slots[index as usize] = Some((slot, place));
        self.heap.push(index);
        self.rise(place);
        index
    }

    /// Takes out the timer in slot `index`, which is not free.
    pub(super) fn remove(&mut self, index: u32) {
        let Some((_, place)) = self.slots[index as usize].take() else { return };
        self.free.push(index);
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.note_place(place);
            self.sink(place);
            self.rise(place);
        }
    }

    /// Takes out all timers that `is_meant` names, and counts them.
    pub(super) fn remove_where(&mut self, is_meant: impl Fn(&Slot) -> bool) -> usize {
        let meant: Vec<u32> =
            self.heap.iter().copied().filter(|&index| self.get(index).is_some_and(&is_meant)).collect();
        meant.iter().for_each(|&index| self.remove(index));
        meant.len()
    }

    fn goes_before(&self, left: usize, right: usize) -> bool {
        match (self.get(self.heap[left]), self.get(self.heap[right])) {
            (Some(left), Some(right)) => left.goes_before(right),
            _ => unreachable!("a free slot is in the heap"),
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.goes_before(place, parent) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut child = 2 * place + 1;
            if child + 1 < self.heap.len() && self.goes_before(child + 1, child) {
                child += 1;
            }
            if child >= self.heap.len() || !self.goes_before(child, place) {
                break;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, left: usize, right: usize) {
        self.heap.swap(left, right);
        self.note_place(left);
        self.note_place(right);
    }

    fn note_place(&mut self, place: usize) {
        if let Some((_, noted)) = &mut self.slots[self.heap[place] as usize] {
            *noted = place;
        }
    }
}
