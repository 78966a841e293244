//! The EMA cross in Rust: `cargo run --release -p rust-ema -- data/demo.ticks`.

#![expect(clippy::disallowed_macros, reason = "a program prints")]

use std::path::PathBuf;
use std::process::ExitCode;

use rust_ema::backtest;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: rust-ema FILE.ticks");
        return ExitCode::from(2);
    };
    match backtest(&path) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
