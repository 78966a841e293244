//! Operator control: a socket that is served by threads which need neither the loop nor the interpreter.
//!
//! One JSON object a line, in both directions. Trading is halted on the spot; everything else is a command that takes the
//! first lane to the loop, and is answered by whoever handles it there.

mod operator;
mod server;

pub use operator::{Call, Operator, PROTOCOL_VERSION};
pub use server::{ControlServer, MAX_LINE};
