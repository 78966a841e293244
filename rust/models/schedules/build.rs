//! Says to the core's sources that they run under shuttle.

fn main() {
    println!("cargo::rustc-cfg=shuttle");
}
