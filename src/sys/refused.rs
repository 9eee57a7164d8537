//! System calls that change the machine, other processes, or what this one runs: what a server never makes.

pub use libc::EPERM;

use std::io;

/// Their numbers, for a filter that refuses them (seccomp(2)). fork(2) and clone(2) are not among them: a server may work by children.
pub fn refused_calls() -> Vec<libc::c_long> {
    #[allow(unused_mut)] // Some machines have no more.
    let mut calls = COMMON.to_vec();
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))] // Others have no name for it in libc.
    calls.push(libc::SYS_kexec_file_load);
    #[cfg(target_arch = "x86_64")]
    {
        calls.extend([libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt]);
        // The same kernel takes calls of the x32 ABI: the same numbers with a bit set, and for some that take pointers numbers of their own.
        const X32_BIT: libc::c_long = 0x4000_0000;
        const X32_OWN: [libc::c_long; 6] = [520, 521, 528, 539, 540, 545]; // execve, ptrace, kexec_load, process_vm_readv, process_vm_writev, execveat
        let x32: Vec<libc::c_long> = calls.iter().chain(&X32_OWN).map(|call| call | X32_BIT).collect();
        calls.extend(x32);
    }
    calls
}

/// Makes each of these calls once, with arguments that none takes (−1 for each: no pointer, no descriptor, no flags), to see that it is
/// refused: its number, and what it says. Inside a filter alone: vhangup(2) takes no arguments.
pub fn try_refused_calls() -> Vec<(libc::c_long, io::Result<()>)> {
    let none: libc::c_long = -1;
    let attempt = |call| {
        // SAFETY: −1 is no address of a process, so what takes a pointer to read or write fails with EFAULT at the most; and none of these
        // calls touches this process's memory or descriptors by numbers.
        let result = unsafe { libc::syscall(call, none, none, none, none, none, none) };
        (call, if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) })
    };
    refused_calls().into_iter().map(attempt).collect()
}

/// On every machine.
const COMMON: [libc::c_long; 46] = [
    // To run another program.
    libc::SYS_execve,
    libc::SYS_execveat,
    // To reach into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // To change the kernel, or see into it.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // To change what is where in the file system, or open a file without a name.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    // To have other names for things.
    libc::SYS_setns,
    libc::SYS_unshare,
    // To change the machine's name, its clock.
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
];
