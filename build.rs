//! Packs the command's relative relocations (`DT_RELR`), where all that meets them knows them: 2 KiB in place of 150, in the file and in memory.
//!
//! `RUSTFLAGS=-Clink-arg=-Wl,-z,nopack-relative-relocs` leaves them as they are, for a command that is to run where glibc is older than here.

use std::env;
use std::process::Command;

/// The first glibc whose loader knows them. Older ones refuse to start what has them.
const GLIBC: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, want: &str| env::var(name).is_ok_and(|value| value == want);
    let is_known = is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    // What is asked here is this machine's C library.
    let is_native = env::var("HOST") == env::var("TARGET");
    if is_known && is_native && has_usual_linker() && glibc().is_some_and(|version| version >= GLIBC) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// LLVM's or GNU's, which passes over what it doesn't know. gold fails at it, and who says how to link knows better anyway.
fn has_usual_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    env::var_os("RUSTC_LINKER").is_none() && !flags.contains("link")
}

/// `glibc 2.36`, from the library's own package.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?.stdout;
    let (major, minor) = str::from_utf8(&told).ok()?.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
