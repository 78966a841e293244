//! On which processors threads may run.

/// The processors that this process may use, in ascending order; empty where the system does not tell.
#[cfg(target_os = "linux")]
pub fn allowed_processors() -> Vec<usize> {
    // SAFETY: a set of processors is plain bits, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours and of the size that is said; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: the numbers are below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&number| unsafe { libc::CPU_ISSET(number, &set) }).collect()
}

/// The same, on a system that does not tell.
#[cfg(not(target_os = "linux"))]
pub fn allowed_processors() -> Vec<usize> {
    Vec::new()
}

/// Keeps the calling thread on `processor`; false where the system refuses.
#[cfg(target_os = "linux")]
pub(super) fn pin(processor: usize) -> bool {
    // SAFETY: as above.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if processor >= libc::CPU_SETSIZE as usize {
        return false;
    }
    // SAFETY: the number is below the size of the set, which is ours; 0 is the calling thread.
    unsafe {
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

/// The same, on a system that has no way to.
#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_processor: usize) -> bool {
    false
}
