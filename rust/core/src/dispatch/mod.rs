//! The dispatch loop: one total order of ticks, timers, order updates and lifecycle, each at a loop position.
//!
//! A step takes the next input, stamps its position, sets the clock, lets the venue match, tells the owners of changed
//! orders, calls the handlers in order of registration and then applies what they asked for, in the order made.
//! [`Dispatcher`] drives, [`Desk`] is what handlers reach, [`Host`] is who calls them.

mod absence;
mod account;
mod arrival;
mod aside;
mod asked;
mod away;
mod bars;
mod batcher;
mod between;
mod changing;
mod desk;
mod dispatcher;
mod external;
mod fill;
mod flood;
mod gate;
mod host;
mod keys;
mod lag;
mod live;
mod lives;
mod machine;
mod market;
mod meter;
mod operate;
mod orders;
mod pull;
mod pulse;
mod request;
mod run_error;
mod sampler;
mod snapshot;
mod spawns;
mod standing;
mod step;
mod stretch;
mod subscriber;
mod supervise;
mod tape;
mod timers;
mod told;
mod until;
mod watch;
mod winding;

pub use account::Account;
pub use arrival::TIMED_SLICE_TICKS;
pub use batcher::BatchEdges;
pub use desk::{Desk, OrderBook};
pub use dispatcher::{Dispatcher, Outcome, RunSettings};
pub use external::ExternalSink;
pub use fill::Fill;
pub use host::{Fault, Hook, Host, LagEpisode, LifeAnswer, NoHost, Settled};
pub use lag::{LagRule, MaxLag, WhenLagging};
pub use live::{LiveWait, run_live};
pub use machine::MOST_OFFERED;
pub use market::{DEFAULT_KEPT, MAX_KEPT, Market};
pub use meter::{Meters, SAMPLE_EVERY, StrategyMeter};
pub use pull::Bare;
pub use pulse::{Doing, Look, Pulse, described};
pub use request::{MAX_ORDERS, MAX_QUANTITY, MAX_SPAWNS, Refusal, Request, SpawnKey, TimerKey};
pub use run_error::RunError;
pub use sampler::{ALL_STRATEGIES, WORTH_EVERY_NS, WorthPoint};
pub use snapshot::{Snapshot, Snapshots, Traded};
pub use standing::{Standing, standing_lines};
pub use step::ErrorRecord;
pub use subscriber::{Delivery, Kinds, Subscription};
pub use supervise::{OnError, Supervision};
pub use timers::StrategyClock;
pub use until::Step;
pub use watch::{Call, HandlerWatch, WatchSettings, Watcher};
pub use winding::{Ending, Residue};
