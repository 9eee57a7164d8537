//! The `tripoll` command.

mod cli;
#[cfg(feature = "lab")]
mod lab;

fn main() -> std::process::ExitCode {
    cli::main()
}
