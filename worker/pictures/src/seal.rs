//! What the process may do: compute, take memory up to a bound, and read and write the two pipes that it has.
//!
//! No call that opens a file, makes a socket, starts a program or touches another process is answered; it fails with
//! `EPERM`. The bounds of memory and time are set for each picture ([`bound`]).

use anyhow::Context;
use rustix::{
    process::{Resource, Rlimit, getpid, setrlimit},
    time::{ClockId, clock_gettime},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What the process takes before it has a picture: code, tables and the stacks of threads.
const BASE_MEBIBYTES: u64 = 160;
const MEBIBYTE: u64 = 1 << 20;

/// Calls that need no look at their arguments.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_ppoll,
];

/// Gives up everything else, in every thread, for good. `mebibytes` is the most that any picture may take.
pub(crate) fn seal(mebibytes: u64) -> anyhow::Result<()> {
    let hard = (BASE_MEBIBYTES + mebibytes) * MEBIBYTE;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, 64, 64)?;
    limit(Resource::Data, hard, hard)?;
    // Not another process: a thread is a clone that shares. The C library tries clone3 first, whose flags no filter can
    // see, and takes clone where there is none.
    let thread =
        equal(0, u64::try_from(libc::CLONE_THREAD)?, SeccompCmpOp::MaskedEq(u64::try_from(libc::CLONE_THREAD)?))?;
    let own = u64::try_from(getpid().as_raw_nonzero().get())?;
    let looked_at = [
        (libc::SYS_clone, thread),
        (libc::SYS_prlimit64, equal(0, 0, SeccompCmpOp::Eq)?),
        (libc::SYS_tgkill, equal(0, own, SeccompCmpOp::Eq)?),
        (libc::SYS_prctl, equal(0, u64::try_from(libc::PR_SET_NAME)?, SeccompCmpOp::Eq)?),
    ];
    let mut rules: Vec<(libc::c_long, Vec<SeccompRule>)> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    rules.extend(looked_at.map(|(call, rule)| (call, vec![rule])));
    let no_clone3 = vec![(libc::SYS_clone3, Vec::new())];
    let (missing, denied) = (errno(libc::ENOSYS)?, errno(libc::EPERM)?);
    apply(no_clone3, SeccompAction::Allow, missing)?;
    apply(rules, denied, SeccompAction::Allow)
}

/// Bounds for one picture: `mebibytes` more than the process takes itself, and so many seconds of processor time from
/// now. Past the first, memory is refused; past the second, the process is ended.
pub(crate) fn bound(mebibytes: u64, seconds: u64) -> anyhow::Result<()> {
    let spent = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec)?;
    let (data, cpu) = ((BASE_MEBIBYTES + mebibytes) * MEBIBYTE, spent + seconds + 1);
    let hard = rustix::process::getrlimit(Resource::Data).maximum;
    setrlimit(Resource::Data, Rlimit { current: Some(hard.map_or(data, |hard| data.min(hard))), maximum: hard })?;
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu), maximum: None })?;
    Ok(())
}

fn limit(resource: Resource, current: u64, maximum: u64) -> anyhow::Result<()> {
    setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) }).context("a limit cannot be set")
}

fn equal(argument: u8, value: u64, how: SeccompCmpOp) -> anyhow::Result<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, how, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn errno(number: libc::c_int) -> anyhow::Result<SeccompAction> {
    Ok(SeccompAction::Errno(u32::try_from(number)?))
}

fn apply(
    rules: Vec<(libc::c_long, Vec<SeccompRule>)>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> anyhow::Result<()> {
    let target = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules.into_iter().collect(), otherwise, matched, target)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter_all_threads(&program)
        .context("this kernel does not let a process give up calls (seccomp)")
}
