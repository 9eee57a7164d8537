//! Memory that processes share: mmap(2).

use super::cvt;
use std::io;
use std::mem::size_of;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Numbers that a process shares with those that are forked from it: what one writes, all see. All 0 at first.
#[derive(Debug)]
pub struct SharedNumbers {
    first: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: what it owns is a mapping of atomics, which is not bound to the thread that made it.
unsafe impl Send for SharedNumbers {}
// SAFETY: all that can be had of it is `&[AtomicU64]`, and atomics may be shared.
unsafe impl Sync for SharedNumbers {}

impl SharedNumbers {
    /// mmap(2) of new memory, shared and anonymous.
    ///
    /// # Panics
    /// For no numbers at all.
    pub fn new(count: usize) -> io::Result<SharedNumbers> {
        assert!(count > 0, "a mapping has a length");
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        let bytes = count * size_of::<AtomicU64>();
        // SAFETY: no address is asked for, so the mapping is new and takes nothing from anybody.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(start.cast()).expect("the kernel chooses no address of 0 by itself");
        Ok(SharedNumbers { first, count })
    }
}

impl Deref for SharedNumbers {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping begins at a page, is long enough, zeroed, and stays until `drop`; all-zero is a valid AtomicU64, and nobody
        // has it but as atomics.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl Drop for SharedNumbers {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of that length, and whoever borrowed from it is gone. Other processes have mappings of their own.
        let unmapped = cvt(unsafe { libc::munmap(self.first.as_ptr().cast(), self.count * size_of::<AtomicU64>()) });
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
