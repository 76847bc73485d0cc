//! Starts the server's programs: under the right account, and so that they end when this process
//! does.

use std::path::Path;
use std::process::{Command, Stdio};

use super::account::Account;

/// Makes a command that runs `program` as `account`, in its own process group (so that Ctrl-C
/// reaches this process first), without the environment (a `PGPORT` or `PGOPTIONS` would change the
/// server).
///
/// On Linux it receives a stop signal when the calling *thread* ends, so the caller must be a
/// thread that stays.
pub(crate) fn command(program: &Path, account: &Account) -> Command {
    use std::os::unix::process::CommandExt as _;

    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/bin:/bin")
        // The account may not be able to enter the current folder.
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    if account.differs_from_ours() {
        // As root, `uid` also clears the supplementary groups, before it changes the user.
        command.gid(account.gid.as_raw()).uid(account.uid.as_raw());
    }
    die_with_parent(&mut command);
    command
}

/// Asks the kernel to send SIGINT, Postgres' fast shutdown, when the calling thread ends.
///
/// `pre_exec` rather than `setpriv --pdeathsig`, because that program is not everywhere and
/// busybox' has no such option. It must run after setuid, which clears the setting: std runs it
/// last.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "std has no safe means to set the parent death signal"
)]
fn die_with_parent(command: &mut Command) {
    use std::io;
    use std::os::unix::process::CommandExt as _;

    use nix::errno::Errno;
    use nix::sys::{prctl, signal::Signal};
    use nix::unistd::{Pid, getppid};

    let parent = Pid::this();
    let set = move || {
        prctl::set_pdeathsig(Signal::SIGINT)?;
        // If the parent had died before the line above, the signal would never be sent.
        if getppid() == parent {
            Ok(())
        } else {
            Err(io::Error::from(Errno::ESRCH))
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes two
    // bare system calls, prctl and getppid, and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(set);
    }
}

/// Does nothing: other systems have no such signal, and an orphan is stopped at the next start
/// (`leftover`).
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}
