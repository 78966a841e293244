//! Three bounded lanes, any number of senders, one reader.

use std::fmt;
use std::time::Duration;

use super::inbox::Inbox;
use crate::ring::{self, CapacityError, CommandProducer, NotTaken};
use crate::stop::{CONTROL, OTHERS, StopFlag, Waker};
use crate::sync::{Arc, AtomicU64, Ordering};

/// Which way a command takes. Each lane has slots of its own, so that none can be filled by another's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Stop, halt, pause, cancel: before the next tick.
    Control = 0,
    /// What the rest of the world wants, in its turn with the ticks.
    Normal = 1,
    /// What may wait behind all others.
    Background = 2,
}

impl Lane {
    /// All lanes, the first served first.
    pub const ALL: [Lane; 3] = [Lane::Control, Lane::Normal, Lane::Background];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Normal => "normal",
            Self::Background => "background",
        }
    }

    const fn call(self) -> u32 {
        match self {
            Self::Control => CONTROL,
            Self::Normal | Self::Background => OTHERS,
        }
    }
}

/// How many commands wait at most, a lane; powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Of [`Lane::Control`].
    pub control_slots: usize,
    /// Of [`Lane::Normal`].
    pub normal_slots: usize,
    /// Of [`Lane::Background`].
    pub background_slots: usize,
}

impl Default for LaneSettings {
    /// An operator sends a handful; other threads may send bursts.
    fn default() -> Self {
        Self { control_slots: 256, normal_slots: 4096, background_slots: 4096 }
    }
}

/// What a lane has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// How many commands the loop has taken.
    pub taken: u64,
    /// How many found no slot.
    pub refused: u64,
    /// How many wait.
    pub pending: u64,
}

/// Relaxed: numbers for a person, which guard nothing.
#[derive(Default)]
pub(super) struct Counts {
    pub refused: [AtomicU64; 3],
    pub pushed: [AtomicU64; 3],
    pub taken: [AtomicU64; 3],
}

/// The sending half: clones go to any thread.
pub struct Sender<T> {
    lanes: [CommandProducer<T>; 3],
    counts: Arc<Counts>,
    attention: Arc<StopFlag>,
    waker: Arc<Waker>,
}

/// Lanes, by their halves. A command raises a bit of `attention`, which the loop looks at anyway, and wakes `waker`.
///
/// # Errors
/// A capacity is no power of two, or out of range.
///
/// ```
/// use std::sync::Arc;
/// use tickrail_core::command::{Lane, LaneSettings, lanes};
/// use tickrail_core::stop::{StopFlag, Waker};
/// let (sender, mut inbox) = lanes(LaneSettings::default(), Arc::new(StopFlag::new()), Arc::new(Waker::new()))?;
/// sender.push(Lane::Normal, "refresh").unwrap();
/// sender.push(Lane::Control, "halt").unwrap();
/// assert_eq!(inbox.take(), Some((Lane::Control, "halt")));
/// assert_eq!(inbox.take(), Some((Lane::Normal, "refresh")));
/// # Ok::<(), tickrail_core::ring::CapacityError>(())
/// ```
pub fn lanes<T: Send>(
    settings: LaneSettings,
    attention: Arc<StopFlag>,
    waker: Arc<Waker>,
) -> Result<(Sender<T>, Inbox<T>), CapacityError> {
    let (control, first) = ring::commands(settings.control_slots)?;
    let (normal, second) = ring::commands(settings.normal_slots)?;
    let (background, third) = ring::commands(settings.background_slots)?;
    let counts = Arc::new(Counts::default());
    let inbox = Inbox::new([first, second, third], Arc::clone(&counts), Arc::clone(&attention));
    Ok((Sender { lanes: [control, normal, background], counts, attention, waker }, inbox))
}

impl<T: Send> Sender<T> {
    /// Sends a command. Any thread, without a lock; wakes the loop where it waits.
    ///
    /// # Errors
    /// The lane is full, or the run is over; the command comes back.
    pub fn push(&self, lane: Lane, command: T) -> Result<(), NotTaken<T>> {
        let pushed = self.lanes[lane as usize].push(command);
        match &pushed {
            Ok(()) => {
                // After the command is in its slot: whoever answers the call finds it.
                self.attention.call(lane.call());
                self.waker.wake();
                self.counts.pushed[lane as usize].fetch_add(1, Ordering::Relaxed);
            }
            Err(NotTaken::Full(_)) => {
                self.counts.refused[lane as usize].fetch_add(1, Ordering::Relaxed);
            }
            Err(NotTaken::Closed(_)) => {}
        }
        pushed
    }

    /// The same, waiting for a slot for up to `timeout` as long as `go_on` agrees, which is asked every millisecond or so.
    ///
    /// # Errors
    /// There was no slot in time, or the run is over; the command comes back.
    #[expect(clippy::disallowed_methods, reason = "measures how long a sender waited; no decision sees it")]
    pub fn push_within(
        &self,
        lane: Lane,
        command: T,
        timeout: Duration,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<(), NotTaken<T>> {
        let started = std::time::Instant::now();
        let mut command = command;
        loop {
            match self.push(lane, command) {
                Err(NotTaken::Full(back)) if started.elapsed() < timeout && go_on() => command = back,
                done => return done,
            }
            // A full lane is a fault or a flood: nobody is called when a slot is free, so that taking stays cheap.
            std::thread::sleep(timeout.saturating_sub(started.elapsed()).min(Duration::from_millis(1)));
        }
    }

    /// Asks the loop to stop, and wakes it: for whoever cannot wait until it comes to a command. Idempotent.
    pub fn request_stop(&self) {
        self.attention.request_stop();
        self.waker.wake();
    }

    /// Whether the loop sleeps, and has to be woken for what is sent now. A hint.
    pub fn finds_it_asleep(&self) -> bool {
        self.waker.is_asleep()
    }

    /// Takes no more commands; what was sent still arrives. Idempotent.
    pub fn close(&self) {
        self.lanes.iter().for_each(CommandProducer::close);
    }

    /// What the lanes have seen, the first lane first; each number by itself is exact, together they may be a command apart.
    pub fn stats(&self) -> [LaneStats; 3] {
        Lane::ALL.map(|lane| {
            let read = |counts: &[AtomicU64; 3]| counts[lane as usize].load(Ordering::Relaxed);
            let taken = read(&self.counts.taken);
            LaneStats {
                taken,
                refused: read(&self.counts.refused),
                pending: read(&self.counts.pushed).saturating_sub(taken),
            }
        })
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            lanes: self.lanes.clone(),
            counts: Arc::clone(&self.counts),
            attention: Arc::clone(&self.attention),
            waker: Arc::clone(&self.waker),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}
