//! Operator control: a socket that is served by threads which need neither the loop nor the interpreter.
//!
//! One JSON object a line, in both directions. Trading is halted on the spot; everything else is a command that takes the
//! first lane to the loop, and is answered by whoever handles it there. Probes and metrics are served by HTTP likewise.

mod http;
mod operator;
mod probes;
mod server;

pub use http::{HttpServer, Page, Pages};
pub use operator::{Call, OpenOrders, Operator, PROTOCOL_VERSION, View};
pub use probes::{Probed, Probes, Scrape, Standing};
pub use server::{ControlServer, MAX_LINE};
